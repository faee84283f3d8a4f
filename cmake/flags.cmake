# SPDX-License-Identifier: Apache-2.0
# Compiler flags for our own code, and add_module().

function(rondo_flags target)
    target_compile_options(${target} PRIVATE
        -Wall -Wextra -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wvla
        -Wpointer-arith -Wwrite-strings -Wundef -fno-common -fstack-protector-strong
        $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
    if(WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE RONDO_VERSION="${PROJECT_VERSION}")
    if(TESTING)
        target_compile_definitions(${target} PRIVATE TESTING)
    endif()
    # Asserts stay on in release.
    target_compile_options(${target} PRIVATE -UNDEBUG)
    target_include_directories(${target} PRIVATE
        ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/scheduler ${PROJECT_SOURCE_DIR}
        ${PROJECT_BINARY_DIR}/generated)
    if(SANITIZE)
        target_compile_options(${target} PRIVATE -fsanitize=address,undefined
            -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
        target_link_options(${target} PRIVATE -fsanitize=address,undefined)
    endif()
    if(FUZZ)
        target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
endfunction()

# add_module(name DIR folder... LINK targets... [EXCLUDE files...])
function(add_module name)
    cmake_parse_arguments(M "" "" "DIR;LINK;EXCLUDE" ${ARGN})
    set(sources)
    set(scripts)
    set(script_parts)
    foreach(dir ${M_DIR})
        file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${dir}/*.c)
        list(APPEND sources ${found})
        file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${dir}/*.lua)
        list(APPEND scripts ${found})
        file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${dir}/*.lua.in
            ${PROJECT_SOURCE_DIR}/scheduler/base/*.lua.in ${PROJECT_SOURCE_DIR}/scheduler/run/*.lua.in)
        list(APPEND script_parts ${found})
    endforeach()
    foreach(file ${M_EXCLUDE})
        list(REMOVE_ITEM sources ${PROJECT_SOURCE_DIR}/${file})
    endforeach()
    if(scripts)
        embed_lua(${name} generated "${script_parts}" ${scripts})
        list(APPEND sources ${generated})
    endif()
    if(NOT sources)
        file(WRITE ${PROJECT_BINARY_DIR}/empty_${name}.c "typedef int ${name}_is_empty;\n")
        set(sources ${PROJECT_BINARY_DIR}/empty_${name}.c)
    endif()
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC ${M_LINK})
    rondo_flags(${name})
endfunction()
