// SPDX-License-Identifier: Apache-2.0
// Let other people's libraries judge deliveries. In: {
//   schemas: {name: {draft: 7 or 2020, schema, more: [schemas it refers to]}},
//   documents: [{schema: name, value}], events: [{headers, body (base64)}],
//   signed: [{secret, headers, body (base64)}]}.
// Out: {documents: [true or complaints], events: [a CloudEvent or a complaint], svix: [...], standard: [...]}.
import { readFileSync } from "node:fs";
import Ajv from "ajv";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { HTTP } from "cloudevents";
import { Webhook as Standard } from "standardwebhooks";
import { Webhook as Svix } from "svix";

const asked = JSON.parse(readFileSync(0, "utf8"));
const text = ({ body }) => Buffer.from(body, "base64").toString("utf8");
const attempt = (judge) => {
  try {
    return judge();
  } catch (error) {
    return `refused: ${error}`;
  }
};

const options = { strict: false, allErrors: true };
const drafts = { 7: new Ajv(options), 2020: new Ajv2020(options) };
for (const ajv of Object.values(drafts)) (addFormats.default ?? addFormats)(ajv);
const validators = {};
for (const [name, { draft, schema, more }] of Object.entries(asked.schemas)) {
  const ajv = drafts[draft];
  for (const one of more ?? []) if (!ajv.getSchema(one.$id)) ajv.addSchema(one);
  validators[name] = (schema.$id && ajv.getSchema(schema.$id)) || ajv.compile(schema);
}

process.stdout.write(JSON.stringify({
  documents: asked.documents.map(({ schema, value }) =>
    attempt(() => validators[schema](value) || validators[schema].errors)),
  events: asked.events.map((one) => attempt(() => {
    const event = HTTP.toEvent({ headers: one.headers, body: text(one) });
    return event.validate() && event.toJSON();
  })),
  svix: asked.signed.map((one) => attempt(() => {
    new Svix(one.secret).verify(text(one), one.headers);
    return true;
  })),
  standard: asked.signed.map((one) => attempt(() => {
    new Standard(one.secret).verify(text(one), one.headers);
    return true;
  })),
}));
