# SPDX-License-Identifier: Apache-2.0
# embed_lua(module OUT PARTS files...): PARTS are files that scripts include; each x.lua becomes `struct script script_x`, declared in
# "<module>_scripts.h" and defined in a generated C file.

function(embed_lua module out parts)
    set(dir ${PROJECT_BINARY_DIR}/generated)
    set(source ${dir}/${module}_scripts.c)
    add_custom_command(
        OUTPUT ${source} ${dir}/${module}_scripts.h
        COMMAND ${CMAKE_COMMAND} -DMODULE=${module} -DDIR=${dir} "-DFILES=${ARGN}"
            -P ${PROJECT_SOURCE_DIR}/cmake/embed_lua_run.cmake
        DEPENDS ${ARGN} ${parts} ${PROJECT_SOURCE_DIR}/cmake/embed_lua_run.cmake
        VERBATIM)
    set(${out} ${source} PARENT_SCOPE)
endfunction()
