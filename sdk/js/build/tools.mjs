// Where the tools are, and how a provider is bundled.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** The folder with the tools' `node_modules`: the project's own, unless they are shared. */
const tools = resolve(process.env.STROWGER_JS_TOOLS ?? ".");
const require = createRequire(join(tools, "package.json"));

/** Something that the author can mend: its text is all there is to say. */
export class Problem extends Error {}

/** Where a tool's file is. */
export function toolPath(name) {
  try {
    return require.resolve(name);
  } catch {
    throw new Problem(
      `the package ${name.split("/")[0]} is not installed in ${join(tools, "node_modules")}\n  run \`npm ci\` in ${tools}, or set STROWGER_JS_TOOLS to a folder that has it`,
    );
  }
}

/** A tool as a module. */
export async function tool(name) {
  const module = await import(pathToFileURL(toolPath(name)).href);
  return module.default ?? module;
}

/** The author's file: `provider.ts`, or `provider.js`. */
export function entryPoint() {
  const found = ["provider.ts", "provider.js"].find((file) => existsSync(file));
  if (found === undefined) throw new Problem(`there is no provider.ts and no provider.js in ${resolve(".")}`);
  return found;
}

/** Bundles modules with esbuild, which says itself what is wrong with them. */
export async function bundle(options) {
  const esbuild = await tool("esbuild");
  try {
    return await esbuild.build({
      bundle: true,
      format: "esm",
      target: "es2022",
      charset: "utf8",
      legalComments: "none",
      logLevel: "warning",
      ...options,
    });
  } catch {
    throw new Problem("the provider cannot be bundled; see above");
  }
}

/** Runs a script and ends the process: an author's mistakes are told without a trace. */
export async function main(script) {
  try {
    await script();
  } catch (error) {
    console.error(error instanceof Problem ? `error: ${error.message}` : error);
    process.exitCode = 1;
  }
}
