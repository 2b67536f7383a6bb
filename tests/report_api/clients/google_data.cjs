// Google's own client for Node.js: asks all that a file names, and prints what came.
// Usage: node google_data.cjs PORT KEY PROPERTY < REQUESTS, a list of {method, request}
const { BetaAnalyticsDataClient } = require('@google-analytics/data');
const { OAuth2Client } = require('google-auth-library');

const [port, key, property] = process.argv.slice(2);
const authClient = new OAuth2Client();
authClient.setCredentials({ access_token: key });
const client = new BetaAnalyticsDataClient({
  fallback: 'rest', apiEndpoint: '127.0.0.1', port: Number(port), protocol: 'http', authClient,
});

async function asked({ method, request }) {
  const place = method === 'getMetadata' ? { name: `${property}/metadata` } : { property };
  try {
    const [answer] = await client[method]({ ...place, ...request });
    return { answer };
  } catch (error) {
    return { error: { code: error.code, message: error.message } };
  }
}

async function main() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const found = [];
  for (const each of JSON.parse(Buffer.concat(chunks))) found.push(await asked(each));
  process.stdout.write(JSON.stringify(found));
}

main();
