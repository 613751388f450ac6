// Builds the component of the provider in this folder.
//
//   node build.mjs --out FILE.wasm [--no-check]
//
// Type check, bundle, find the abilities, write the world that has them, componentize. What is made on the way is in `target/`.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { Problem, bundle, entryPoint, main, tool, toolPath } from "./tools.mjs";

const WIT = fileURLToPath(new URL("../../../wit", import.meta.url));
const REQUIRED = ["descriptor", "webhook", "answer", "media"];
const ABILITIES = ["calling", "detection", "numbers", "transfer", "setup", "trunks", "events"];

await main(async () => {
  const { values } = parseArgs({ options: { out: { type: "string" }, "no-check": { type: "boolean" } } });
  if (values.out === undefined) throw new Problem("say where the component goes: --out FILE.wasm");
  const entry = entryPoint();
  if (values["no-check"] !== true) typeCheck();

  mkdirSync("target", { recursive: true });
  const bundled = resolve("target/provider.mjs");
  await bundle({ entryPoints: [entry], outfile: bundled, platform: "neutral", mainFields: ["module", "main"] });
  const exported = await exportsOf(bundled, entry);
  const abilities = ABILITIES.filter((ability) => exported[ability] !== undefined);
  const wit = writeWorld(abilities);

  const component = await componentize(wit, readFileSync(bundled, "utf8"), [...REQUIRED, ...abilities]);
  mkdirSync(dirname(resolve(values.out)), { recursive: true });
  writeFileSync(values.out, component);
  console.log(JSON.stringify({ component: values.out, abilities }));
});

function typeCheck() {
  const { status } = spawnSync(
    process.execPath,
    [join(dirname(toolPath("typescript/package.json")), "bin/tsc"), "--noEmit", "--typeRoots", typeRoots()],
    { stdio: ["ignore", 2, 2] },
  );
  if (status !== 0) throw new Problem("the types do not fit; see above (--no-check builds all the same)");
}

function typeRoots() {
  return dirname(dirname(toolPath("@types/node/package.json")));
}

/** What the author's module exports: running it once here finds the abilities, and mistakes at the top of the module. */
async function exportsOf(bundled, entry) {
  // A new address each time, so that a process that builds twice sees the second.
  const module = await import(`${pathToFileURL(bundled).href}?${Date.now()}`).catch((error) => {
    const frames = String(error?.stack ?? error).split("\n").filter((line) => !/node:internal|\/build\/\w+\.mjs/.test(line));
    throw new Problem(`${entry} cannot be loaded: ${frames.join("\n")}`);
  });
  const exported = module.default;
  const missing = REQUIRED.find((name) => exported?.[name] === undefined);
  if (missing !== undefined) {
    throw new Problem(`${entry} does not export a provider\n  write \`export default provider({ … })\``);
  }
  return exported;
}

/** The contract, and a world with what this provider exports and nothing else. */
function writeWorld(abilities) {
  const wit = resolve("target/wit");
  rmSync(wit, { recursive: true, force: true });
  cpSync(WIT, join(wit, "deps/strowger-provider"), { recursive: true, filter: (path) => !path.endsWith(".md") });
  const included = ["provider", ...abilities.map((ability) => `with-${ability}`)];
  const lines = included.map((world) => `  include strowger:provider/${world}@0.1.0;\n`);
  writeFileSync(join(wit, "world.wit"), `package strowger:component;\n\nworld component {\n${lines.join("")}}\n`);
  return wit;
}

async function componentize(wit, provider, interfaces) {
  const qjs = await tool("componentize-qjs");
  // The author has one default export; a component exports its interfaces by their names.
  const entry = resolve("target/component.mjs");
  const source = `import provider from "./provider.mjs";\nexport const { ${interfaces.join(", ")} } = provider;\n`;
  writeFileSync(entry, source);
  const { component } = await qjs
    .componentize({
      witPath: wit,
      world: "component",
      jsSource: source,
      jsPath: entry,
      moduleRoot: resolve("target"),
      sync: true,
      // The sandbox has no WASI of its own; nothing of a provider calls it.
      stubWasi: true,
    })
    .catch((error) => {
      throw new Problem(`the provider cannot be made a component: ${error?.message ?? error}`);
    });
  return component;
}
