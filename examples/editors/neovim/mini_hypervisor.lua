-- Debugs guests of mini_hypervisor with nvim-dap and gdb 14 or later. In init.lua:
--
--     dofile(vim.fn.expand('~/mini_hypervisor/examples/editors/neovim/mini_hypervisor.lua'))
--
-- :DapContinue in a source of a guest asks for a configuration, and starts. Keys: F5 continue, F10 over, F11 into, F12 out;
-- with Shift, F5 and F10 run backwards; F9 sets a breakpoint.
local dap = require('dap')
local program = 'mini_hypervisor --memory 4'

local function elf()
  return vim.fn.expand('%:p:h') .. '/guest.elf'
end

-- gdb reads the commands of tools/gdb/mini_hypervisor.py first: they add the requests that run backwards
local commands = vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p:h') .. '/../../../tools/gdb/mini_hypervisor.py'
local arguments = { '--quiet', '--interpreter=dap' }
if vim.fn.filereadable(commands) == 1 then
  table.insert(arguments, '--init-command=' .. commands)
end

dap.adapters.mini_hypervisor = { type = 'executable', command = 'gdb', args = arguments }

local configurations = {
  {
    name = 'Guest: make, start and debug',
    type = 'mini_hypervisor',
    request = 'attach',
    program = elf,
    target = function()
      local made = vim.fn.system({ 'make', '-C', vim.fn.expand('%:p:h') })
      if vim.v.shell_error ~= 0 then
        error(made)
      end
      return '| exec ' .. program .. ' --gdb stdio --guest ' .. vim.fn.shellescape(elf())
    end,
  },
  {
    name = 'Guest: join one that runs with --gdb',
    type = 'mini_hypervisor',
    request = 'attach',
    program = elf,
    target = '127.0.0.1:1234',
  },
}
dap.configurations.c = vim.list_extend(dap.configurations.c or {}, configurations)
dap.configurations.asm = vim.list_extend(dap.configurations.asm or {}, configurations)

for key, run in pairs({
  ['<F5>'] = dap.continue,
  ['<S-F5>'] = dap.reverse_continue,
  ['<F9>'] = dap.toggle_breakpoint,
  ['<F10>'] = dap.step_over,
  ['<S-F10>'] = dap.step_back,
  ['<F11>'] = dap.step_into,
  ['<F12>'] = dap.step_out,
}) do
  vim.keymap.set('n', key, run)
end
