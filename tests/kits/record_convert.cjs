// Record what Convert's JavaScript kit sends for `rows.convert`, with repeated transactions forced, as its documents say:
//   python rows.py | node record_convert.cjs PACKAGE > convert.json
// PACKAGE is the unpacked @convertcom/js-sdk (recorded with 4.4.3 on 2026-11-27). Nothing is sent anywhere.
const fs = require('fs');
const path = require('path');

const folder = path.resolve(process.argv[2]);
for (const level of ['log', 'info', 'debug', 'warn', 'error', 'trace']) console[level] = () => {}; // the kit's own log
const sent = [];
global.fetch = async (url, options) => {
  sent.push({ url: String(url), agent: new Headers(options.headers).get('User-Agent'), body: JSON.parse(options.body) });
  return new Response('{}', { status: 200, headers: { 'Content-Type': 'application/json' } });
};

const loaded = require(path.join(folder, 'lib', 'index.js'));
const ConvertSDK = loaded.default || loaded;
const rows = JSON.parse(fs.readFileSync(0, 'utf8'));
const goals = [...new Set(rows.map((row) => row.convert_goal_id))];
const kit = new ConvertSDK({
  data: {
    account_id: '10001234',
    project: { id: '20005678' },
    experiences: [],
    goals: goals.map((id) => ({ id, key: `goal-${id}`, name: id, type: 'revenue' })),
  },
  events: { batch_size: 1000, release_interval: 50 },
});

function brought(row) {
  const data = [];
  if (row.revenue !== undefined) data.push({ key: 'amount', value: Number(row.revenue) });
  if (row.quantity !== undefined) data.push({ key: 'productsCount', value: Number(row.quantity) });
  if (row.order_id !== undefined) data.push({ key: 'transactionId', value: row.order_id });
  return data;
}

kit.onReady().then(() => {
  const visitors = {};
  for (const row of rows) {
    visitors[row.user_id] = visitors[row.user_id] || kit.createContext(row.user_id);
    const data = brought(row);
    visitors[row.user_id].trackConversion(
      `goal-${row.convert_goal_id}`,
      data.length ? { conversionData: data, conversionSetting: { forceMultipleTransactions: true } } : {},
    );
  }
  setTimeout(() => {
    const { version } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
    const found = { kit: `@convertcom/js-sdk ${version}`, rows: rows.length, sent };
    process.stdout.write(`${JSON.stringify(found)}\n`, () => process.exit(0));
  }, 500);
});
