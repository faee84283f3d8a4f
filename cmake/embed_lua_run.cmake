# SPDX-License-Identifier: Apache-2.0
# Script mode: write ${DIR}/${MODULE}_scripts.{c,h} from ${FILES}.
set(h "/* Generated from *.lua. */\n#pragma once\n#include \"base/store.h\"\n")
set(c "/* Generated from *.lua. */\n#include \"${MODULE}_scripts.h\"\n")
foreach(file ${FILES})
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} hex HEX)
    # A line "--@include NAME" stands for the text of that file beside it.
    get_filename_component(folder ${file} DIRECTORY)
    file(STRINGS ${file} includes REGEX "^--@include ")
    foreach(line ${includes})
        string(REGEX REPLACE "^--@include " "" included "${line}")
        file(READ ${folder}/${included} included_hex HEX)
        string(HEX "${line}" line_hex)
        string(REPLACE "${line_hex}0a" "${included_hex}" hex "${hex}")
    endforeach()
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(APPEND h "extern struct script script_${name};\n")
    string(APPEND c "static const char text_${name}[] = {${bytes}0};\n"
        "struct script script_${name} = {.name = \"${name}\", .text = text_${name}};\n")
endforeach()
file(WRITE ${DIR}/${MODULE}_scripts.h "${h}")
file(WRITE ${DIR}/${MODULE}_scripts.c "${c}")
