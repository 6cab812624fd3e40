// lint.js DOCUMENT: Redocly's recommended rules; each problem is told, and any ends with status 1.
const { createConfig, formatProblems, getTotals, lint } = require("@redocly/openapi-core");

(async () => {
  const config = await createConfig({ extends: ["recommended"] });
  const problems = await lint({ ref: process.argv[2], config });
  const totals = getTotals(problems);
  formatProblems(problems, { format: "codeframe", totals, version: "1" });
  process.exit(totals.errors + totals.warnings > 0 ? 1 : 0);
})();
