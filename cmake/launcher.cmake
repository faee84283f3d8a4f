# SPDX-License-Identifier: Apache-2.0
# rondo-launcher: fully static, so that it runs in any image. Built without the sanitizers
# (they cannot be static); its logic is unit-tested in the ordinary build.
file(GLOB LAUNCHER_SOURCES CONFIGURE_DEPENDS scheduler/launch/*.c)
if(LAUNCHER_SOURCES)
    add_executable(rondo-launcher ${LAUNCHER_SOURCES}
        scheduler/base/err.c scheduler/base/util.c scheduler/base/buf.c scheduler/base/secret.c
        scheduler/base/json.c scheduler/base/clock.c scheduler/base/pool.c)
    target_compile_options(rondo-launcher PRIVATE -Wall -Wextra -Wshadow -Wformat=2
        -Wstrict-prototypes -Wmissing-prototypes -Wvla -O2 -UNDEBUG)
    target_compile_definitions(rondo-launcher PRIVATE _GNU_SOURCE RONDO_VERSION="${PROJECT_VERSION}")
    target_include_directories(rondo-launcher PRIVATE include scheduler .)
    target_link_libraries(rondo-launcher PRIVATE
        libevent_openssl.a libevent.a libssl.a libcrypto.a libjansson.a)
    target_link_options(rondo-launcher PRIVATE -static -s)
endif()
