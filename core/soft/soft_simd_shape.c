#include "soft_simd_shape.h"

#include "soft_simd.h"

static bool is_aligned(const struct simd_info *info)
{
    return (info->flags & SIMD_ALIGNED) != 0;
}

static enum simd_shape vector_shape(const struct soft_insn *insn, const struct simd_info *info)
{
    if (!insn->has_memory)
        return SIMD_SHAPE_RR;
    switch (info->size[SIMD_LEGACY]) {
    case 4:
        return SIMD_SHAPE_RM4;
    case 8:
        return SIMD_SHAPE_RM8;
    default:
        return SIMD_SHAPE_RM16;
    }
}

static enum simd_shape scalar_shape(const struct soft_insn *insn, const struct simd_info *info)
{
    const bool is_load = insn->run == simd_load_scalar || insn->run == simd_movq_load;
    if (!insn->has_memory)
        return SIMD_SHAPE_OTHER;
    if (info->size[SIMD_LEGACY] == 4)
        return is_load ? SIMD_SHAPE_LOAD4 : SIMD_SHAPE_STORE4;
    return is_load ? SIMD_SHAPE_LOAD8 : SIMD_SHAPE_STORE8;
}

enum simd_shape soft_simd_shape(const struct soft_insn *insn, int32_t *stub)
{
    const struct simd_info *info = simd_info(insn);
    *stub = 0;
    if (insn->map != SOFT_MAP_0F || (insn->prefixes & SOFT_PREFIX_VEX) != 0 || info == NULL)
        return SIMD_SHAPE_OTHER;
    if (insn->run == simd_vector && info->feature[SIMD_LEGACY] <= SSE2) {
        *stub = (int32_t)(info->stub[SIMD_LEGACY] - host_simd_0f_np) +
                (int32_t)((insn->immediate & 0xff) * HOST_SIMD_STRIDE);
        return vector_shape(insn, info);
    }
    if (insn->run == simd_load && info->feature[SIMD_LEGACY] <= SSE2)
        return !insn->has_memory ? SIMD_SHAPE_MOVE : is_aligned(info) ? SIMD_SHAPE_LOAD16_ALIGNED : SIMD_SHAPE_LOAD16;
    if (insn->run == simd_store && insn->has_memory)
        return is_aligned(info) ? SIMD_SHAPE_STORE16_ALIGNED : SIMD_SHAPE_STORE16;
    if (insn->run == simd_load_scalar || insn->run == simd_store_scalar || insn->run == simd_movq_load ||
        insn->run == simd_movq_store)
        return scalar_shape(insn, info);
    return SIMD_SHAPE_OTHER;
}
