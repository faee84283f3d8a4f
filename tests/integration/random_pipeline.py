# SPDX-License-Identifier: Apache-2.0
"""Random pipelines, and what their programs do: the material of test_property.py. One seed, one case."""

import hashlib
import json
import random

ARTIFACT = {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}
TYPES = ["STRING", "STRING", "NUMBER_INTEGER", "NUMBER_INTEGER", "BOOLEAN", "LIST", "STRUCT", "NUMBER_DOUBLE"]
WORDS = ["a", "b", "c", "7", "x y", "<&>", "ä\"\\", "[1,2]"]
MAX_DEPTH = 6
ROOM = 45  # task definitions per pipeline, about
URIS = ["s3://b/x", "s3://b/y"]
EXECUTORS = {"exec": {"container": {"image": "img:1", "command": ["run", "{{$}}"]}}}
for _again in (False, True):
    for _name, _uri in [("input", {"runtimeParameter": "uri"}), *((uri[-1], {"constant": uri}) for uri in URIS)]:
        EXECUTORS[f"import-{_name}{'-again' if _again else ''}"] = {"importer": {
            "artifactUri": _uri, "typeSchema": ARTIFACT, "reimport": _again}}


def value_of_type(rng, kind):
    if kind == "STRING":
        return rng.choice(WORDS)
    if kind == "NUMBER_INTEGER":
        return rng.randrange(5)
    if kind == "NUMBER_DOUBLE":
        return rng.choice([0.5, 1.25, 2, -3.75])
    if kind == "BOOLEAN":
        return rng.random() < 0.5
    if kind == "LIST":
        item = rng.choice(["STRING", "NUMBER_INTEGER", "STRUCT"])
        return [value_of_type(rng, item) for _ in range(rng.choice([0, 1, 2, 2, 3, 4]))]
    return {"k": rng.choice(WORDS), "n": rng.randrange(3)}


class Source:
    """Something that a task may be wired to: a parameter or a list of artifacts."""

    def __init__(self, binding, kind, producer=None):
        self.binding, self.kind, self.producer = binding, kind, producer


class Generator:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.components = {}
        self.room = ROOM
        self.weights = self.mood()

    def mood(self):
        """Each pipeline has more of this and less of that."""
        kinds = ["container", "condition", "branches", "loop", "pipeline", "exit", "ignore", "again", "importer"]
        weights = {kind: self.rng.choice([0, 1, 1, 3]) for kind in kinds}
        weights["container"] += 3
        return weights

    def chance(self, share):
        return self.rng.random() < share

    def name(self):
        return f"comp-{len(self.components)}"

    def pipeline(self):
        inputs, parameters, scope = {}, {}, []
        for i in range(self.rng.randrange(4)):
            kind = self.rng.choice(TYPES)
            inputs[f"r{i}"] = {"parameterType": kind}
            if self.chance(0.3):
                inputs[f"r{i}"]["defaultValue"] = value_of_type(self.rng, kind)
                inputs[f"r{i}"]["isOptional"] = True
            elif self.chance(0.2):
                inputs[f"r{i}"]["isOptional"] = True
            if "isOptional" not in inputs[f"r{i}"] or self.chance(0.4):
                parameters[f"r{i}"] = value_of_type(self.rng, kind)
            scope.append(Source({"componentInputParameter": f"r{i}"}, kind))
        root, _ = self.dag_body(scope, 1, self.rng.randrange(1, 9))
        if inputs:
            root["inputDefinitions"] = {"parameters": inputs}
        spec = {
            "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0", "pipelineInfo": {"name": "random"},
            "root": root, "components": self.components,
            "deploymentSpec": {"executors": json.loads(json.dumps(EXECUTORS))}}
        return spec, parameters

    # -- DAGs --

    DEEP = ("condition", "branches", "loop", "pipeline", "exit")

    def dag_body(self, scope, depth, count):
        """(component without input definitions, what it gives: [(name, kind)])"""
        tasks, scope = {}, list(scope)
        for _ in range(count):
            if self.room <= 0 and tasks:
                break
            kinds = [kind for kind in self.weights if depth < MAX_DEPTH or kind not in self.DEEP]
            kind = self.rng.choices(kinds, [self.weights[kind] for kind in kinds])[0]
            getattr(self, "add_" + kind)(tasks, scope, depth)
        body = {"dag": {"tasks": tasks}}
        gives = self.give(body, tasks, scope)
        return body, gives

    def give(self, body, tasks, scope):
        """Outputs of a DAG: some of what its tasks give."""
        gives, definitions, outputs = [], {}, {}
        own = [source for source in scope if source.producer in tasks]
        self.rng.shuffle(own)
        for i, source in enumerate(own[:self.rng.randrange(4)]):
            is_artifact = source.kind.startswith("ARTIFACT")
            what, name = ("artifacts" if is_artifact else "parameters"), f"o{i}"
            if is_artifact:
                found = source.binding["taskOutputArtifact"]
                outputs.setdefault(what, {})[name] = {"artifactSelectors": [{
                    "producerSubtask": found["producerTask"], "outputArtifactKey": found["outputArtifactKey"]}]}
            else:
                found = source.binding["taskOutputParameter"]
                outputs.setdefault(what, {})[name] = {"valueFromParameter": {
                    "producerSubtask": found["producerTask"],
                    "outputParameterKey": found["outputParameterKey"]}}
            definitions.setdefault(what, {})[name] = output_definition(source.kind)
            gives.append((name, source.kind))
        if outputs:
            body["dag"]["outputs"] = outputs
            body["outputDefinitions"] = definitions
        return gives

    def wrap(self, scope, depth, count, extra=()):
        """A DAG component that gets some of the scope: (component name, bindings, gives, inner sources)"""
        bindings, definitions, inner = self.pass_in(scope)
        for name, kind in extra:
            self.declare(definitions, name, kind)
            inner.append(inner_source(name, kind))
        body, gives = self.dag_body(inner, depth + 1, count)
        if definitions:
            body["inputDefinitions"] = definitions
        name = self.name()
        self.components[name] = body
        return name, bindings, gives

    @staticmethod
    def declare(definitions, name, kind):
        if kind.startswith("ARTIFACT"):
            definition = {"artifactType": ARTIFACT}
            if kind == "ARTIFACTS":
                definition["isArtifactList"] = True
            definitions.setdefault("artifacts", {})[name] = definition
        else:
            definitions.setdefault("parameters", {})[name] = {"parameterType": kind}

    def pass_in(self, scope):
        bindings, definitions, inner = {}, {}, []
        for i, source in enumerate(self.rng.sample(scope, min(len(scope), self.rng.randrange(4)))):
            name, kind = f"p{i}", source.kind
            if kind in TYPES and self.chance(0.15):
                kind = "STRING"
            self.declare(definitions, name, kind)
            what = "artifacts" if kind.startswith("ARTIFACT") else "parameters"
            bindings.setdefault(what, {})[name] = source.binding
            if self.chance(0.3):
                definitions[what][name]["isOptional"] = True
                if what == "parameters" and self.chance(0.4):
                    definitions[what][name]["defaultValue"] = value_of_type(self.rng, kind)
            inner.append(inner_source(name, kind))
        if self.chance(0.2):
            kind = self.rng.choice(TYPES)
            self.declare(definitions, "c", kind)
            bindings.setdefault("parameters", {})["c"] = {
                "runtimeValue": {"constant": value_of_type(self.rng, kind)}}
            inner.append(inner_source("c", kind))
        return bindings, definitions, inner

    # -- tasks --

    def add_task(self, tasks, component, bindings=None, **fields):
        key = f"t{len(tasks)}"
        task = {"taskInfo": {"name": key}, "componentRef": {"name": component},
                "cachingOptions": {"enableCache": True} if self.chance(0.7) else {}}
        if bindings:
            task["inputs"] = json.loads(json.dumps(bindings))
        task.update(fields)
        deps = set(task.pop("deps", ()))
        for binding in (bindings or {}).get("parameters", {}).values():
            deps.update({binding["taskOutputParameter"]["producerTask"]} if "taskOutputParameter" in binding else ())
        if not self.chance(0.2):  # else only implied, as some files have it
            for binding in (bindings or {}).get("artifacts", {}).values():
                deps.update({binding["taskOutputArtifact"]["producerTask"]} if "taskOutputArtifact" in binding
                            else ())
        if tasks and "triggerPolicy" not in fields and self.chance(0.3):
            deps.add(self.rng.choice(sorted(tasks)))
        if deps:
            task["dependentTasks"] = sorted(deps)
        if self.chance(0.2):
            task["retryPolicy"] = {"maxRetryCount": self.rng.randrange(3), "backoffDuration":
                                   self.rng.choice(["0s", "0s", "1s", "3s"]), "backoffFactor": 2.0,
                                   "backoffMaxDuration": "3600s"}
        tasks[key] = task
        self.room -= 1
        return key

    def publish(self, scope, key, gives, wrap=lambda kind: kind):
        for name, kind in gives:
            kind = wrap(kind)
            if kind.startswith("ARTIFACT"):
                binding = {"taskOutputArtifact": {"producerTask": key, "outputArtifactKey": name}}
            else:
                binding = {"taskOutputParameter": {"producerTask": key, "outputParameterKey": name}}
            scope.append(Source(binding, kind, key))

    def leaf(self, scope, extra=(), forgiving=False):
        """A container component: (name, bindings, gives)."""
        bindings, definitions, _ = self.pass_in(scope)
        for what in ("parameters", "artifacts"):
            for name, definition in definitions.get(what, {}).items():
                if forgiving and not self.chance(0.2):
                    definition["isOptional"] = True
        for name, kind in extra:
            self.declare(definitions, name, kind)
        if self.chance(0.15):
            self.declare(definitions, "unset", "STRING")
            definitions["parameters"]["unset"]["isOptional"] = True
        if self.chance(0.15):
            self.declare(definitions, "preset", "NUMBER_INTEGER")
            definitions["parameters"]["preset"]["defaultValue"] = 5
        if self.chance(0.15):
            self.declare(definitions, "text", "STRING")
            bindings.setdefault("parameters", {})["extra-x"] = {
                "runtimeValue": {"constant": value_of_type(self.rng, self.rng.choice(TYPES))}}
            bindings["parameters"]["text"] = {"runtimeValue": {
                "constant": "so {{$.inputs.parameters['extra-x']}} it is"}}
        gives, outputs = [], {}
        for i in range(self.rng.randrange(3)):
            kind = self.rng.choice(TYPES)
            outputs.setdefault("parameters", {})[f"v{i}"] = output_definition(kind)
            gives.append((f"v{i}", kind))
        if self.chance(0.35):
            outputs["artifacts"] = {"model": output_definition("ARTIFACT")}
            gives.append(("model", "ARTIFACT"))
        body = {"executorLabel": "exec"}
        if definitions:
            body["inputDefinitions"] = definitions
        if outputs:
            body["outputDefinitions"] = outputs
        name = self.name()
        self.components[name] = body
        return name, bindings, gives

    def add_container(self, tasks, scope, _depth):
        component, bindings, gives = self.leaf(scope)
        fields = {}
        if self.chance(0.05):
            condition = self.condition(bindings, self.components[component])
            if condition:
                fields["triggerPolicy"] = {"condition": condition}
        self.publish(scope, self.add_task(tasks, component, bindings, **fields), gives)

    def add_again(self, tasks, scope, depth):
        """The same work as another task, which the cache may know when it is after that."""
        same = [key for key, task in tasks.items() if "triggerPolicy" not in task and iterator_free(task)
                and self.components[task["componentRef"]["name"]].get("executorLabel") == "exec"]
        if not same:
            return self.add_container(tasks, scope, depth)
        other = self.rng.choice(same)
        component = tasks[other]["componentRef"]["name"]
        key = self.add_task(tasks, component, tasks[other].get("inputs"), deps=[other] if self.chance(0.7) else [])
        return self.publish(scope, key, gives_of(self.components[component]))

    def add_importer(self, tasks, scope, _depth):
        name, bindings = self.rng.choice(sorted(EXECUTORS.keys() - {"exec"})), {}
        body = {"executorLabel": name, "outputDefinitions": {"artifacts": {"artifact": output_definition("ARTIFACT")}}}
        if name.startswith("import-input"):
            texts = [source.binding for source in scope if source.kind == "STRING"]
            constant = {"runtimeValue": {"constant": self.rng.choice(URIS)}}
            bindings["parameters"] = {
                "uri": self.rng.choice(texts) if texts and self.chance(0.2) else constant}
            body["inputDefinitions"] = {"parameters": {"uri": {"parameterType": "STRING"}}}
        component = self.name()
        self.components[component] = body
        self.publish(scope, self.add_task(tasks, component, bindings), [("artifact", "ARTIFACT")])

    def add_ignore(self, tasks, scope, _depth):
        """ignore_upstream_failure()"""
        if not tasks:
            return self.add_container(tasks, scope, _depth)
        near = [source for source in scope if source.producer in tasks] if self.chance(0.7) else scope
        component, bindings, gives = self.leaf(near, forgiving=True)
        deps = self.rng.sample(sorted(tasks), min(len(tasks), self.rng.choice([1, 1, 1, 2, 3])))
        key = self.add_task(tasks, component, bindings, deps=deps,
                            triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"})
        return self.publish(scope, key, gives)

    def add_exit(self, tasks, scope, depth):
        """dsl.ExitHandler"""
        component, bindings, gives = self.wrap(scope, depth, self.rng.randrange(1, 5))
        body = self.add_task(tasks, component, bindings)
        inputs = [source for source in scope if source.producer is None]
        self.publish(scope, body, gives)
        if self.chance(0.2):
            exit_component, bindings, _ = self.wrap(inputs, depth, 2, [("status", "TASK_FINAL_STATUS")])
        else:
            exit_component, bindings, _ = self.leaf(inputs, [("status", "TASK_FINAL_STATUS")])
        bindings.setdefault("parameters", {})["status"] = {"taskFinalStatus": {"producerTask": body}}
        self.add_task(tasks, exit_component, bindings, deps=[body],
                      triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"})

    def add_pipeline(self, tasks, scope, depth):
        component, bindings, gives = self.wrap(scope, depth, self.rng.randrange(1, 5))
        self.publish(scope, self.add_task(tasks, component, bindings), gives)

    # -- conditions --

    def condition(self, bindings, component):
        names = {name: definition["parameterType"] for name, definition in
                 component.get("inputDefinitions", {}).get("parameters", {}).items()}
        terms = [self.term(name, kind) for name, kind in names.items()
                 if kind in ("STRING", "NUMBER_INTEGER", "BOOLEAN", "NUMBER_DOUBLE")]
        if not terms:
            return None
        text = self.rng.choice(terms)
        if self.chance(0.3):
            text = f"!({text}) && {self.rng.choice(terms)}" if self.chance(0.5) else \
                f"{text} {self.rng.choice(['&&', '||'])} {self.rng.choice(terms)}"
        return text

    def term(self, name, kind):
        it = f"inputs.parameter_values['{name}']"
        op = self.rng.choice(["==", "!=", "<", "<=", ">", ">="])
        if self.chance(0.04):
            return f"{it} < {self.rng.choice(['true', '3'])}" if kind == "STRING" else f"{it} < 'a'"
        if kind == "NUMBER_INTEGER":
            return f"int({it}) {op} {self.rng.randrange(5)}"
        if kind == "NUMBER_DOUBLE":
            return f"{it} {op} {self.rng.choice(['0.5', '1.25', 'double(1)'])}"
        if kind == "BOOLEAN":
            return f"{it} == {self.rng.choice(['true', 'false'])}"
        if self.chance(0.1):
            return f"int({it}) {op} 3"
        return f"{it} {self.rng.choice(['==', '!='])} '{self.rng.choice(['a', 'b', 'c', '7'])}'"

    def add_condition(self, tasks, scope, depth):
        plain = [source for source in scope if source.kind in ("STRING", "NUMBER_INTEGER", "BOOLEAN")]
        component, bindings, gives = self.wrap(scope, depth, self.rng.randrange(1, 4))
        definitions = self.components[component].setdefault("inputDefinitions", {})
        if plain:
            source = self.rng.choice(plain)
            self.declare(definitions, "it", source.kind)
            bindings.setdefault("parameters", {})["it"] = source.binding
        condition = self.condition(bindings, self.components[component]) or "1 == 1"
        key = self.add_task(tasks, component, bindings, triggerPolicy={"condition": condition})
        self.publish(scope, key, gives)

    def add_branches(self, tasks, scope, depth):
        """if / elif / else, with what one of the branches gives."""
        plain = [source for source in scope if source.kind in ("STRING", "NUMBER_INTEGER", "BOOLEAN")]
        if not plain:
            return self.add_container(tasks, scope, depth)
        source = self.rng.choice(plain)
        bindings, definitions, inner = self.pass_in(scope)
        self.declare(definitions, "it", source.kind)
        bindings.setdefault("parameters", {})["it"] = source.binding
        inner.append(inner_source("it", source.kind))
        branch_tasks, terms = {}, []
        count, has_else = self.rng.choice([1, 2, 2, 3]), self.chance(0.6)
        kind = self.rng.choice(["STRING", "NUMBER_INTEGER", "ARTIFACT", "LIST"])
        selected = []
        for i in range(count):
            tests = [f"!({term})" for term in terms]
            if i < count - 1 or not has_else or not terms:
                terms.append(self.term("it", source.kind))
                tests.append(terms[-1])
            selected.append(self.add_branch(branch_tasks, inner, source.kind, " && ".join(tests), kind, depth))
        body = {"dag": {"tasks": branch_tasks}, "inputDefinitions": definitions}
        gives = []
        if self.chance(0.8):
            what = "artifacts" if kind == "ARTIFACT" else "parameters"
            key = "outputArtifactKey" if kind == "ARTIFACT" else "outputParameterKey"
            chosen = [{"producerSubtask": producer, key: "out"} for producer in selected]
            body["dag"]["outputs"] = {what: {"one": {"artifactSelectors": chosen} if kind == "ARTIFACT" else
                                             {"valueFromOneof": {"parameterSelectors": chosen}}}}
            body["outputDefinitions"] = {what: {"one": output_definition(kind)}}
            gives = [("one", kind)]
        component = self.name()
        self.components[component] = body
        return self.publish(scope, self.add_task(tasks, component, bindings), gives)

    def add_branch(self, tasks, scope, it_kind, condition, kind, depth):
        bindings, definitions, inner = self.pass_in(scope)
        self.declare(definitions, "it", it_kind)
        bindings.setdefault("parameters", {})["it"] = {"componentInputParameter": "it"}
        leaf_tasks = {}
        component, leaf_bindings, _ = self.leaf(inner)
        outputs = self.components[component].setdefault("outputDefinitions", {})
        what = "artifacts" if kind == "ARTIFACT" else "parameters"
        outputs.setdefault(what, {})["out"] = output_definition(kind)
        leaf = self.add_task(leaf_tasks, component, leaf_bindings)
        if depth + 2 < MAX_DEPTH and self.chance(0.3):
            self.add_container(leaf_tasks, list(inner), depth)
        body = {"dag": {"tasks": leaf_tasks}, "inputDefinitions": definitions,
                "outputDefinitions": {what: {"out": output_definition(kind)}}}
        if kind == "ARTIFACT":
            body["dag"]["outputs"] = {what: {"out": {"artifactSelectors": [
                {"producerSubtask": leaf, "outputArtifactKey": "out"}]}}}
        else:
            body["dag"]["outputs"] = {what: {"out": {"valueFromParameter": {
                "producerSubtask": leaf, "outputParameterKey": "out"}}}}
        name = self.name()
        self.components[name] = body
        key = f"t{len(tasks)}"
        tasks[key] = {"taskInfo": {"name": key}, "componentRef": {"name": name}, "cachingOptions": {},
                      "inputs": bindings, "triggerPolicy": {"condition": condition}}
        self.room -= 1
        return key

    # -- loops --

    def add_loop(self, tasks, scope, depth):
        lists = [source for source in scope if source.kind in ("LIST", "ARTIFACTS")]
        over = self.rng.choice(lists) if lists and self.chance(0.7) else None
        fields, more = {}, {}
        if over is None:
            kind = self.rng.choice(["STRING", "NUMBER_INTEGER", "STRUCT", "LIST"])
            items = [value_of_type(self.rng, kind) for _ in range(self.rng.choice([0, 1, 2, 2, 3, 4]))]
            if kind in ("STRUCT", "LIST") and self.chance(0.5):
                kind = "STRING"
            fields["parameterIterator"] = {"items": {"raw": json.dumps(items)}, "itemInput": "item"}
        elif over.kind == "LIST":
            kind = self.rng.choice(["STRING", "STRING", "STRING", "NUMBER_INTEGER"])
            more["parameters"] = {"items": over.binding}
            fields["parameterIterator"] = {"items": {"inputParameter": "items"}, "itemInput": "item"}
        else:
            kind = "ARTIFACT"
            more["artifacts"] = {"items": over.binding}
            fields["artifactIterator"] = {"items": {"inputArtifact": "items"}, "itemInput": "item"}
        if self.chance(0.15):
            component, bindings, gives = self.leaf(scope, [("item", kind)])
        else:
            component, bindings, gives = self.wrap(
                scope, depth, self.rng.randrange(1, 4), [("item", kind)])
        definitions = self.components[component].setdefault("inputDefinitions", {})
        for what, binding in more.items():
            bindings.setdefault(what, {}).update(binding)
            self.declare(definitions, "items", "ARTIFACTS" if what == "artifacts" else "LIST")
        if self.chance(0.4):
            fields["iteratorPolicy"] = {"parallelismLimit": self.rng.randrange(1, 4)}
        if self.chance(0.08):
            condition = self.condition(bindings, self.components[component])
            if condition and "'item'" not in condition:
                fields["triggerPolicy"] = {"condition": condition}
        key = self.add_task(tasks, component, bindings, **fields)
        self.publish(scope, key, gives,
                     lambda kind: "ARTIFACTS" if kind.startswith("ARTIFACT") else "LIST")


def inner_source(name, kind):
    what = "componentInputArtifact" if kind.startswith("ARTIFACT") else "componentInputParameter"
    return Source({what: name}, kind)


def iterator_free(task):
    return "parameterIterator" not in task and "artifactIterator" not in task


def gives_of(component):
    """What a container component gives: [(name, kind)]"""
    outputs = component.get("outputDefinitions", {})
    return [*((name, one["parameterType"]) for name, one in outputs.get("parameters", {}).items()),
            *((name, "ARTIFACT") for name in outputs.get("artifacts", {}))]


def output_definition(kind):
    if kind.startswith("ARTIFACT"):
        definition = {"artifactType": ARTIFACT}
        if kind == "ARTIFACTS":
            definition["isArtifactList"] = True
        return definition
    return {"parameterType": kind}


def random_pipeline(seed):
    """(spec, run parameters)"""
    return Generator(seed).pipeline()


class Programs:
    """What the program of each task does, by the task's path alone."""

    def __init__(self, seed, trouble=0.06):
        self.seed, self.trouble = seed, trouble

    def __call__(self, path, component):
        digest = hashlib.sha256(f"{self.seed}/{path}".encode()).digest()
        rng = random.Random(digest)
        outputs = component.get("outputDefinitions", {}).get("parameters", {})
        program = {"ends": "S", "values": {}}
        for name, definition in outputs.items():
            program["values"][name] = value_of_type(rng, definition["parameterType"])
        dice = rng.random() / self.trouble if self.trouble else 9.0
        if dice < 1:
            program["ends"] = "F"
        elif dice < 2:
            program["ends"] = rng.choice(["FS", "FFS", "FFFS"])
        elif dice < 2.6:
            program["ends"] = rng.choice(["LS", "LFS", "FLS", "LLLS", "LL"])
        elif dice < 3 and outputs:
            program["garbled"] = rng.sample(
                [name for name, one in outputs.items() if one["parameterType"] != "STRING"], 1) if any(
                    one["parameterType"] != "STRING" for one in outputs.values()) else []
        elif dice < 3.4 and outputs:
            program["unwritten"] = rng.sample(sorted(outputs), 1)
        elif dice < 4.4 and outputs:
            program["absent"] = rng.sample(sorted(outputs), 1)
        return program


def script_of(program):
    """A program as the driver's world takes it."""
    values = {name: value for name, value in program["values"].items()
              if name not in program.get("unwritten", ()) and name not in program.get("absent", ())}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    for name in program.get("garbled", ()):
        texts[name] = "{neither this nor that"
    script = {"ends": program["ends"], "params": texts}
    if program.get("absent"):
        script["output_file"] = json.dumps({"parameterValues": values})
        script["params"] = {}
    return script
