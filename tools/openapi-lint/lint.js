// lint.js DOCUMENT: Redocly's recommended rules; each problem is told, and any ends with status 1.
const { createConfig, formatProblems, getTotals, lint } = require("@redocly/openapi-core");

(async () => {
  // A WebSocket's success is 101. That each route's own is described, tests/contract.py sees to.
  const config = await createConfig({ extends: ["recommended"], rules: { "operation-2xx-response": "off" } });
  const problems = await lint({ ref: process.argv[2], config });
  const totals = getTotals(problems);
  formatProblems(problems, { format: "codeframe", totals, version: "1" });
  process.exit(totals.errors + totals.warnings > 0 ? 1 : 0);
})();
