# The Debian packages. `tools/package` builds them, with the preset `package`.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The mini_hypervisor maintainers <maintainers@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own; CPack would put this before it
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# The same bytes, whoever packs them and when.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/set_times.cmake)

# mh_package(COMPONENT NAME ARCHITECTURE SECTION DESCRIPTION [RELATION VALUE]...)
function(mh_package component name architecture section description)
  string(TOUPPER ${component} upper)
  set(prefix CPACK_DEBIAN_${upper})
  set(${prefix}_PACKAGE_NAME ${name} PARENT_SCOPE)
  set(${prefix}_FILE_NAME DEB-DEFAULT PARENT_SCOPE)
  set(${prefix}_PACKAGE_ARCHITECTURE ${architecture} PARENT_SCOPE)
  set(${prefix}_PACKAGE_SECTION ${section} PARENT_SCOPE)
  set(${prefix}_DESCRIPTION ${description} PARENT_SCOPE)
  while(ARGN)
    list(POP_FRONT ARGN relation value)
    set(${prefix}_PACKAGE_${relation} ${value} PARENT_SCOPE)
  endwhile()
  set(CPACK_COMPONENTS_ALL ${CPACK_COMPONENTS_ALL} ${component} PARENT_SCOPE)
endfunction()

mh_package(program mini-hypervisor amd64 otherosfs
  "hypervisor for 64-bit bare-metal guests, with a GDB stub
Runs tiny virtual machines from one guest image each, on KVM or on an x86-64
processor in software, and lets gdb debug them forwards and backwards."
  SHLIBDEPS ON RECOMMENDS "gdb, mini-hypervisor-tools" SUGGESTS "mini-hypervisor-sdk, mini-hypervisor-doc")
mh_package(tools mini-hypervisor-tools all devel
  "tools and a Python module for testing guests of mini_hypervisor
Runs gdb scripts as tests, prints core files and recordings, and lets tests in
Python start guests, set breakpoints and look at them; with a plugin for pytest."
  DEPENDS "mini-hypervisor (= ${PROJECT_VERSION}), python3 (>= 3.11)" RECOMMENDS "gdb, binutils"
  SUGGESTS "python3-pytest")
set(CPACK_DEBIAN_TOOLS_PACKAGE_CONTROL_EXTRA
  ${CMAKE_CURRENT_LIST_DIR}/python/postinst ${CMAKE_CURRENT_LIST_DIR}/python/prerm)
mh_package(sdk mini-hypervisor-sdk all devel
  "SDK and samples for guests of mini_hypervisor
Headers, a linker script, a makefile, and a small library in source for guests,
with samples that use it."
  DEPENDS "gcc | clang, binutils, make" RECOMMENDS "mini-hypervisor")
mh_package(library libmini-hypervisor-dev amd64 libdevel
  "library that mini_hypervisor is made of
A static library with headers and a pkg-config file, which runs and debugs guests
in a program of your own."
  DEPENDS "libc6-dev")
mh_package(documentation mini-hypervisor-doc all doc
  "documentation of mini_hypervisor
Guides to debugging, the interface of guests, snapshots and recordings, the design
of the program, and sample tests in Python.")

include(CPack)
