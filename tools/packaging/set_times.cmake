# Run by CPack before it packs what is installed: give everything the time SOURCE_DATE_EPOCH, if it is set. Without it
# files have the time of the checkout, and directories that of the build.
if(DEFINED ENV{SOURCE_DATE_EPOCH})
  execute_process(COMMAND find ${CPACK_TEMPORARY_DIRECTORY} -exec touch --no-dereference --date=@$ENV{SOURCE_DATE_EPOCH} {} +
    COMMAND_ERROR_IS_FATAL ANY)
endif()
