// SPDX-License-Identifier: Apache-2.0
// Writes conformance.cases from the conformance tests of google/cel-spec, as the npm package
// @bufbuild/cel-spec has them:
//     npm install @bufbuild/cel-spec && node convert.mjs node_modules/@bufbuild/cel-spec > conformance.cases
// Left out is what filters over JSON have not: protobuf messages, enums, optional values, results
// that are only types of a check. What is left out is counted at the end of the file.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const version = JSON.parse(readFileSync(`${folder}/package.json`, "utf8")).version;
const { tests } = await import(pathToFileURL(`${folder}/dist/esm/testdata/conformance.js`));

const FILES = ["basic", "comparisons", "conversions", "encoders_ext", "fields", "fp_math", "integer_math", "lists",
  "logic", "macros", "macros2", "math_ext", "namespace", "parse", "plumbing", "string", "string_ext", "timestamps"];

const text = (s) => JSON.stringify(s).replace(/[\u007f-\u009f\u2028\u2029]/g,
  (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

function real(x) {
  if (typeof x === "string") return `double("${x}")`;
  return Object.is(x, -0) ? "-0.0" : /[.e]/.test(String(x)) ? String(x) : `${x}.0`;
}

// A value of the tests as the literal that gives it; null: there is none.
function literal(v) {
  const [kind] = Object.keys(v);
  const x = v[kind];
  switch (kind) {
    case "nullValue": return "null";
    case "boolValue": return String(x);
    case "int64Value": return String(x);
    case "uint64Value": return `${x}u`;
    case "doubleValue": return real(x);
    case "stringValue": return text(x);
    case "bytesValue": {
      const octets = [...Buffer.from(x, "base64")].map((b) => "\\x" + b.toString(16).padStart(2, "0"));
      return `b"${octets.join("")}"`;
    }
    case "typeValue": return x;
    case "listValue": {
      const items = (x.values ?? []).map(literal);
      return items.includes(null) ? null : `[${items.join(", ")}]`;
    }
    case "mapValue": {
      const entries = (x.entries ?? []).flatMap((e) => [literal(e.key), literal(e.value)]);
      if (entries.includes(null)) return null;
      const pairs = entries.map((e, i) => (i % 2 ? "" : `${e}: ${entries[i + 1]}`)).filter((p) => p);
      return `{${pairs.join(", ")}}`;
    }
    case "objectValue": {
      const type = x["@type"].split("/")[1];
      return type === "google.protobuf.Duration" ? `duration(${text(x.value)})`
        : type === "google.protobuf.Timestamp" ? `timestamp(${text(x.value)})` : null;
    }
    default: return null;
  }
}

// Variables become what they hold, in brackets: JSON has not all of the tests' kinds.
function bind(expr, bindings) {
  for (const [name, value] of Object.entries(bindings ?? {})) {
    if (["true", "false", "null"].includes(name)) continue;
    const held = value.value && literal(value.value);
    if (!held || name.includes(".")) return null;
    expr = expr.replace(new RegExp(`(?<![\\w."'])${name}(?![\\w"'(])`, "g"), `(${held})`);
  }
  return expr;
}

const MESSAGES = /TestAllTypes|TestRequired|NestedMessage|google\.protobuf\.\w*Value|google\.protobuf\.\w+\s*\{|google\.protobuf\.Any|proto[23]\b/;
const OPTIONALS = /optional\.|\.\?|\[\?|\{\?|\.or\(|\.orValue\(|optMap|optFlatMap|cel\.block|cel\.bind/;

// Refused here when compiling, whatever else the expression says.
const UNKNOWN = /^x \|\| true$|f_unknown|^a\.\w+\(\) \|\| true$/;

function row(t) {
  if (UNKNOWN.test(t.expr) && !t.evalError) return [null, "unknown names, which are refused"];
  if (MESSAGES.test(t.expr) || MESSAGES.test(t.container ?? "")) return [null, "protobuf messages"];
  if (OPTIONALS.test(t.expr)) return [null, "optional values and bindings"];
  if (t.checkOnly) return [null, "only checks types"];
  if ((t.typeEnv ?? []).some((e) => e.function)) return [null, "functions of the test itself"];
  const expr = bind(t.expr, t.bindings);
  if (expr === null) return [null, "variables that JSON and literals have not"];
  const shown = expr.replaceAll("\u0000", "\\000").replaceAll("\n", "<nl>").replaceAll("\r", "<cr>");
  if (t.evalError) return [`${shown} --> fails`, ""];
  const value = literal(t.value ?? t.typedResult?.result ?? { boolValue: true });
  return value === null ? [null, "results that are messages"] : [`${shown} ==> ${value}`, ""];
}

const left = {};
let kept = 0;
function walk(suite, path) {
  const rows = [];
  for (const { original } of suite.tests ?? []) {
    const [line, why] = row(original);
    if (line === null) left[why] = (left[why] ?? 0) + 1;
    else rows.push(line);
  }
  kept += rows.length;
  if (rows.length > 0) console.log(`\n# ${path.join("/")}\n${rows.join("\n")}`);
  for (const child of suite.suites ?? []) walk(child, [...path, child.name]);
}

console.log(`# From the conformance tests of google/cel-spec (tests/simple/testdata, Apache-2.0), by convert.mjs
# from @bufbuild/cel-spec ${version}. "a ==> b" wants the value of the literal b; "--> fails" an error of any kind.`);
for (const file of tests.suites) {
  if (FILES.includes(file.name)) walk(file, [file.name]);
}
console.log(`\n# ${kept} rows. Left out: ${Object.entries(left).map(([why, n]) => `${n} ${why}`).join(", ")}.`);
console.log(`# Of other files nothing: ${tests.suites.map((f) => f.name).filter((n) => !FILES.includes(n)).join(", ")}.`);
