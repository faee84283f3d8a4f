// SPDX-License-Identifier: Apache-2.0
// GitHub's own examples of some events, signed by GitHub's own library.
// In: {secret, events: ["push"]}. Out: [{event, body, form, signature, form_signature}].
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { sign } from "@octokit/webhooks-methods";

const examples = createRequire(import.meta.url)("@octokit/webhooks-examples");
const { secret, events } = JSON.parse(readFileSync(0, "utf8"));
const out = [];
for (const { name, examples: payloads } of examples.default ?? examples) {
  if (!events.includes(name)) continue;
  for (const payload of payloads) {
    const body = JSON.stringify(payload);
    const form = new URLSearchParams({ payload: body }).toString();
    out.push({
      event: name, body, form,
      signature: await sign(secret, body),
      form_signature: await sign(secret, form),
    });
  }
}
process.stdout.write(JSON.stringify(out));
