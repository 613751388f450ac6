// Runs a provider without any runtime: for unit tests, and for the recorded cases that the runtime runs against the built
// component.

import { deepStrictEqual, ok } from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import type { Exports } from "./provider.ts";
import { functions } from "./testing/shapes.ts";
import { camel, differences, read, write } from "./testing/value.ts";

/** One recorded case: an export, what it is given, and what it must return. Values are spelled as the contract names them. */
export interface Case {
  /** What it shows, in a few words. */
  name: string;
  /** `interface.function`, for example `webhook.recognise`. */
  export: string;
  /** The configuration. */
  config?: unknown;
  /** Instead of `config`: what `configLoader` makes it from. */
  credentials?: unknown;
  /** The other arguments, by their names in the contract. */
  input?: Record<string, unknown>;
  /** The history of an operation; none is its first round. */
  replies?: unknown[];
  /** What it must return. */
  expect: unknown;
}

/** Registers a test for each case in the `*.json` files of a folder, one case or an array of cases in each. */
export function recordedCases(provider: Exports, folder: string): void {
  const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
  ok(files.length > 0, `there are no cases in ${folder}`);
  for (const file of files.sort()) {
    const contents = JSON.parse(readFileSync(join(folder, file), "utf8")) as Case | Case[];
    for (const recorded of Array.isArray(contents) ? contents : [contents]) {
      test(`${file}: ${recorded.name}`, () => {
        const found = differences(recorded.expect, run(provider, recorded));
        deepStrictEqual(found, [], found.join("\n"));
      });
    }
  }
}

/** Runs a case, and gives what the export returned in the spelling of cases. */
export function run(provider: Exports, given: Omit<Case, "name" | "expect">): unknown {
  const input = { ...given.input };
  const add = (name: string, value: unknown): void => {
    if (value === undefined) return;
    if (name in input) throw new Error(`${name} is given twice: in \`input\` and beside it`);
    input[name] = value;
  };
  if (given.config !== undefined && given.credentials !== undefined) {
    throw new Error("a case has `config` or `credentials`, not both");
  }
  add("config", given.config);
  add("replies", given.replies);
  if (given.export === "descriptor.config-loader") add("credentials", given.credentials);
  else if (given.credentials !== undefined) add("config", configOf(provider, given.credentials));
  return invoke(provider, given.export, input);
}

/** The configuration that `configLoader` makes of credentials. */
export function configOf(provider: Exports, credentials: unknown): unknown {
  const loaded = invoke(provider, "descriptor.config-loader", { credentials }) as { ok?: unknown };
  if (loaded.ok === undefined) throw new Error(`configLoader refuses the credentials: ${JSON.stringify(loaded)}`);
  return loaded.ok;
}

/** Runs an export on arguments, by their names in the contract. */
export function invoke(provider: Exports, name: string, input: Record<string, unknown>): unknown {
  const [interfaceName, functionName] = name.split(".") as [keyof Exports, string];
  const exported = provider[interfaceName] as Record<string, (...values: unknown[]) => unknown> | undefined;
  if (exported === undefined) throw new Error(`the provider does not export ${interfaceName}`);
  if (name === "media.leg") return runScript(provider, input);
  if (!(name in functions) || interfaceName === "media") throw new Error(`there is no export ${name}`);
  return result(name, () => exported[camel(functionName)]!(...argumentsOf(name, input)));
}

/** Runs `media.leg` on `script`: `[{"deserialize": message}, {"serialize": frame}]` gives one result for each. */
function runScript(provider: Exports, input: Record<string, unknown>): unknown[] {
  const { script, ...rest } = input;
  if (!Array.isArray(script)) throw new Error("input.script: must be an array");
  const leg = new provider.media.Leg(...(argumentsOf("media.leg", rest) as [never, never]));
  return script.map((line: Record<string, unknown>, n) => {
    const [verb, argument] = Object.entries(line)[0] ?? [];
    const method = verb === "deserialize" ? "deserialize-frame" : "serialize-frame";
    const name = `media.${method}`;
    const [parameter, shape] = functions[name]!.parameters[0]!;
    const value = read(shape, argument, `input.script[${n}].${parameter}`);
    return result(name, () => leg[camel(method) as keyof typeof leg](value as never));
  });
}

function argumentsOf(name: string, input: Record<string, unknown>): unknown[] {
  const { parameters } = functions[name]!;
  const known = parameters.map(([parameter]) => parameter);
  const other = Object.keys(input).find((parameter) => !known.includes(parameter));
  if (other !== undefined) throw new Error(`input.${other}: is not a parameter of ${name}; there are ${known.join(", ")}`);
  return parameters.map(([parameter, shape]) => read(shape, input[parameter], `input.${parameter}`));
}

/** What a function returns, or throws where its result has errors, in the spelling of cases. */
function result(name: string, body: () => unknown): unknown {
  const shape = functions[name]!.result;
  if (shape === null) return body() ?? null;
  if (typeof shape === "string" || !("result" in shape)) return write(shape, body());
  let outcome: { tag: string; val: unknown };
  try {
    outcome = { tag: "ok", val: body() };
  } catch (thrown) {
    // A defect of the provider, and nothing that the contract has.
    if (thrown instanceof Error) throw thrown;
    outcome = { tag: "err", val: thrown };
  }
  return write(shape, outcome);
}
