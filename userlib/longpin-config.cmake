# SPDX-License-Identifier: MIT
#
# find_package(longpin): the targets longpin::longpin, a shared library, and longpin::static.
include(CMakeFindDependencyMacro)
# What the static library needs.
find_dependency(fmt)
find_dependency(PkgConfig)
pkg_check_modules(LIBNL_GENL QUIET IMPORTED_TARGET libnl-genl-3.0)
if(NOT LIBNL_GENL_FOUND)
  set(longpin_FOUND FALSE)
  set(longpin_NOT_FOUND_MESSAGE "longpin needs libnl-genl-3.0")
  return()
endif()

include("${CMAKE_CURRENT_LIST_DIR}/longpin-targets.cmake")
