# SPDX-License-Identifier: Apache-2.0
"""The pipeline that ./contrib/up runs: write a greeting, then count its letters.

    pip install kfp
    python contrib/examples/hello.py     # writes hello.yaml beside it
"""
import pathlib

from kfp import compiler, dsl


@dsl.container_component
def greet(name: str, scheduled: str, greeting: dsl.Output[dsl.Dataset]):
    """Write a greeting into an artifact."""
    return dsl.ContainerSpec(
        image="alpine:3.20",
        command=["sh", "-ec"],
        args=[
            'mkdir -p "$(dirname "$2")"\n'
            'echo "Hello $0, it is $1." > "$2"\n'
            'cat "$2"\n',
            name,
            scheduled,
            greeting.path,
        ],
    )


@dsl.container_component
def count(greeting: dsl.Input[dsl.Dataset], letters: dsl.OutputPath(int)):
    """Count the letters of a greeting."""
    return dsl.ContainerSpec(
        image="alpine:3.20",
        command=["sh", "-ec"],
        args=[
            'mkdir -p "$(dirname "$1")"\n'
            'tr -cd "[:alpha:]" < "$0" | wc -c | tr -d " \\n" > "$1"\n'
            'echo "$(cat "$1") letters"\n',
            greeting.path,
            letters,
        ],
    )


@dsl.pipeline(name="hello", description="Greets, and counts the letters of the greeting.")
def hello(name: str = "world", scheduled: str = "[[ScheduledTime.2006-01-02 15:04:05]]") -> int:
    greeted = greet(name=name, scheduled=scheduled)
    return count(greeting=greeted.outputs["greeting"]).outputs["letters"]


if __name__ == "__main__":
    compiler.Compiler().compile(hello, str(pathlib.Path(__file__).with_suffix(".yaml")))
