#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The yardstick for compiling: what the SDK does to read the same files, with nothing checked.

Documents by PyYAML, then the messages PipelineSpec and PlatformSpec by protobuf's json_format.
usage: bare_compile.py LOADER FILE...   prints the median in microseconds of processor time for each
LOADER: CSafeLoader (libyaml, with Python objects made of its events) or SafeLoader (all Python)
"""

import statistics
import sys
import time

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as messages

REPEATS_MAX = 5
ENOUGH_S = 1.0  # no further repeat after that


def wanted(document):
    """(message, what is in it) of one document, however it is wrapped."""
    document = document.get("pipelineSpec", document.get("pipeline_spec", document))
    kind = messages.PlatformSpec if "platforms" in document else messages.PipelineSpec
    return kind(), document


def parse(text, loader):
    for document in yaml.load_all(text, loader):
        if document:
            message, content = wanted(document)
            json_format.ParseDict(content, message, ignore_unknown_fields=True)


def main():
    loader = getattr(yaml, sys.argv[1])
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        took = []
        while len(took) < REPEATS_MAX and sum(took) < ENOUGH_S:
            start = time.process_time()
            parse(text, loader)
            took.append(time.process_time() - start)
        print(round(statistics.median(took) * 1e6), flush=True)


if __name__ == "__main__":
    main()
