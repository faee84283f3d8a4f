# SPDX-License-Identifier: Apache-2.0
# Unit tests (cmocka), one program per tests/unit/<module>/test_*.c, linked with everything.
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

set(RONDO_ALL_MODULES api webhooks cel scheduler lease trigger exec run kube catalog artifact pipeline cron base)

# Helpers that unit tests share; each is linked only where it is used.
add_library(test_support STATIC tests/support/fake_executor.c)
target_link_libraries(test_support PUBLIC base)
rondo_flags(test_support)

file(GLOB UNIT_TESTS CONFIGURE_DEPENDS tests/unit/*/test_*.c)
foreach(file ${UNIT_TESTS})
    get_filename_component(name ${file} NAME_WE)
    get_filename_component(dir ${file} DIRECTORY)
    get_filename_component(module ${dir} NAME)
    add_executable(unit_${module}_${name} ${file})
    target_link_libraries(unit_${module}_${name} PRIVATE test_support ${RONDO_ALL_MODULES} PkgConfig::CMOCKA)
    rondo_flags(unit_${module}_${name})
    target_compile_definitions(unit_${module}_${name} PRIVATE
        TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data" SHARED_DIR="${PROJECT_SOURCE_DIR}/../shared")
    if(TARGET rondo-launcher AND module MATCHES "^(exec|launch)$")
        add_dependencies(unit_${module}_${name} rondo-launcher)
        target_compile_definitions(unit_${module}_${name} PRIVATE
            LAUNCHER="$<TARGET_FILE:rondo-launcher>")
        target_link_libraries(unit_${module}_${name} PRIVATE launch)
    endif()
    add_test(NAME unit/${module}/${name} COMMAND unit_${module}_${name})
    set_tests_properties(unit/${module}/${name} PROPERTIES LABELS unit TIMEOUT 600)
endforeach()

# Fuzz targets: with clang they are libFuzzer programs; otherwise (and in ctest always) they
# replay their corpus in tests/fuzz/corpus/<name>/ through tests/fuzz/replay.c.
file(GLOB FUZZ_TARGETS CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(file ${FUZZ_TARGETS})
    get_filename_component(name ${file} NAME_WE)
    if(FUZZ)
        add_executable(${name} ${file})
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    else()
        add_executable(${name} ${file} tests/fuzz/replay.c)
    endif()
    target_link_libraries(${name} PRIVATE ${RONDO_ALL_MODULES})
    rondo_flags(${name})
    if(NOT FUZZ)
        add_test(NAME fuzz/${name} COMMAND ${name} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
        set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 600)
    endif()
endforeach()

# The engine and a scripted world, for tests/integration/test_property.py.
add_executable(engine_driver tests/property/engine_driver.c tests/property/world.c)
target_link_libraries(engine_driver PRIVATE ${RONDO_ALL_MODULES})
target_link_options(engine_driver PRIVATE -Wl,--wrap=timer_start_ms -Wl,--wrap=fault_hit)
rondo_flags(engine_driver)

# Schedules by line, for tests/differential/run.
add_executable(cron_driver tests/differential/cron_driver.c)
target_link_libraries(cron_driver PRIVATE cron base)
rondo_flags(cron_driver)

# Incoming messages by line, for tests/integration/test_forges.py.
add_executable(forge_driver tests/support/forge_driver.c)
target_link_libraries(forge_driver PRIVATE webhooks base)
rondo_flags(forge_driver)

# Filter expressions by line, for tests/differential/cel.
add_executable(cel_driver tests/differential/cel_driver.c)
target_link_libraries(cel_driver PRIVATE cel cron base)
rondo_flags(cel_driver)

# Git patterns by line, for tests/integration/test_git_patterns.py.
add_executable(pattern_driver tests/differential/pattern_driver.c)
target_link_libraries(pattern_driver PRIVATE webhooks)
rondo_flags(pattern_driver)
