// Writes src/api/schema.d.ts from an OpenAPI document on standard input (`updraft docs openapi`). With --check it only says whether that
// would change the file.
import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const target = new URL("../src/api/schema.d.ts", import.meta.url);
const pieces = [];
for await (const piece of process.stdin) pieces.push(piece);
const document = JSON.parse(Buffer.concat(pieces).toString());
// Of the operations, the page's client needs only the shapes that they give: they are named by their schemas.
const schemas = { openapi: document.openapi, info: document.info, paths: {}, components: { schemas: document.components.schemas } };
const text = "// Made by `make web-types` from the OpenAPI document. Not to be edited.\n" + astToString(await openapiTS(schemas));
if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("error: src/api/schema.d.ts is not what the OpenAPI document says now: run `make web-types`");
    process.exit(1);
  }
} else writeFileSync(target, text);
