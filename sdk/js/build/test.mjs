// Bundles the tests of this folder, `test/*.test.ts` or `.js`, and runs them with Node.js.
//
//   node test.mjs [options of Node.js, such as --test-reporter=dot]

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { Problem, bundle, main } from "./tools.mjs";

await main(async () => {
  const files = existsSync("test") ? readdirSync("test").filter((file) => /\.test\.[jt]s$/.test(file)) : [];
  if (files.length === 0) throw new Problem("there is no test/*.test.ts");
  const out = "target/test";
  rmSync(out, { recursive: true, force: true });
  await bundle({
    entryPoints: files.map((file) => join("test", file)),
    outdir: out,
    platform: "node",
    sourcemap: "inline",
    outExtension: { ".js": ".mjs" },
  });
  const bundled = readdirSync(out).map((file) => join(out, file));
  const options = ["--enable-source-maps", "--test", ...process.argv.slice(2)];
  const { status } = spawnSync(process.execPath, [...options, ...bundled], { stdio: "inherit" });
  process.exitCode = status ?? 1;
});
