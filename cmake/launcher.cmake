# SPDX-License-Identifier: Apache-2.0
# rondo-launcher: fully static, so that it runs in any image. Built without the sanitizers
# (they cannot be static); its logic is unit-tested in the ordinary build.
file(GLOB LAUNCHER_SOURCES CONFIGURE_DEPENDS scheduler/launch/*.c)
if(LAUNCHER_SOURCES)
    add_module(launch DIR scheduler/launch LINK base EXCLUDE scheduler/launch/main.c)
    set_target_properties(launch PROPERTIES EXCLUDE_FROM_ALL ON)
    add_executable(rondo-launcher ${LAUNCHER_SOURCES}
        scheduler/base/err.c scheduler/base/util.c scheduler/base/buf.c scheduler/base/secret.c
        scheduler/base/json.c scheduler/base/clock.c scheduler/base/pool.c scheduler/base/proc.c)
    target_compile_options(rondo-launcher PRIVATE -Wall -Wextra -Wshadow -Wformat=2
        -Wstrict-prototypes -Wmissing-prototypes -Wvla -O2 -UNDEBUG)
    target_compile_definitions(rondo-launcher PRIVATE _GNU_SOURCE RONDO_VERSION="${PROJECT_VERSION}")
    target_include_directories(rondo-launcher PRIVATE include scheduler .)
    target_link_libraries(rondo-launcher PRIVATE
        libevent_openssl.a libevent.a libssl.a libcrypto.a libjansson.a)
    target_link_options(rondo-launcher PRIVATE -static -s)
    # Linking libevent and OpenSSL static warns about functions that may load libc modules at run
    # time: name lookups are pinned to what is built in (launch/http.c), the others are not reached.
    include(CheckLinkerFlag)
    check_linker_flag(C "-Wl,--no-warnings" LD_NO_WARNINGS)
    if(LD_NO_WARNINGS)
        target_link_options(rondo-launcher PRIVATE -Wl,--no-warnings)
    endif()
    set_target_properties(rondo-launcher PROPERTIES
        LINK_SEARCH_START_STATIC ON LINK_SEARCH_END_STATIC ON)
endif()
