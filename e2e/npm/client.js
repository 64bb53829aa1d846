"use strict";
// A backend of clients that are not ours: co-wechat-api makes the codes and
// wechat-crypto opens the pushes. It is run as
//   node client.js BASE APPID SECRET TOKEN AESKEY
// against a sandbox, and prints what it saw as JSON.
const http = require("node:http");
const { once } = require("node:events");
const API = require("co-wechat-api");
const WXBizMsgCrypt = require("wechat-crypto");

const [base, appid, secret, token, aesKey] = process.argv.slice(2);

const api = new API(appid, secret);
api.prefix = api.mpPrefix = base + "/cgi-bin/"; // its own way to another host

const cryptor = new WXBizMsgCrypt(token, aesKey, appid);
const element = (xml, name) => (xml.match(new RegExp(`<${name}><!\\[CDATA\\[(.*?)\\]\\]></${name}>`)) || [])[1] || "";

const backend = http.createServer((request, response) => {
  const query = new URL(request.url, "http://backend").searchParams;
  const timestamp = query.get("timestamp"), nonce = query.get("nonce");
  let body = "";
  request.on("data", (chunk) => { body += chunk; });
  request.on("end", () => {
    if (request.method === "GET") {
      const right = cryptor.getSignature(timestamp, nonce, "") === query.get("signature");
      response.writeHead(right ? 200 : 401).end(right ? query.get("echostr") : "");
      return;
    }
    const sealed = element(body, "Encrypt");
    if (cryptor.getSignature(timestamp, nonce, sealed) !== query.get("msg_signature")) {
      response.writeHead(401).end();
      return;
    }
    const { message, id } = cryptor.decrypt(sealed);
    const key = element(message, "EventKey");
    const reply = `<xml><ToUserName><![CDATA[${element(message, "FromUserName")}]]></ToUserName>` +
      `<FromUserName><![CDATA[${element(message, "ToUserName")}]]></FromUserName>` +
      `<CreateTime>${Date.now()}</CreateTime><MsgType><![CDATA[text]]></MsgType>` + // milliseconds: seen in use
      `<Content><![CDATA[${element(message, "Event")} ${key} of ${id}]]></Content></xml>`;
    const encrypt = cryptor.encrypt(reply);
    const signature = cryptor.getSignature(timestamp, nonce, encrypt);
    response.end(`<xml><Encrypt><![CDATA[${encrypt}]]></Encrypt><MsgSignature><![CDATA[${signature}]]></MsgSignature>` +
      `<TimeStamp>${timestamp}</TimeStamp><Nonce><![CDATA[${nonce}]]></Nonce></xml>`);
  });
});

// act posts to the page's own actions, as a test in any language may.
async function act(action, form = {}) {
  const answer = await fetch(`${base}/_sandbox/${action}`, {
    method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams(form),
  });
  return answer.json();
}

async function main() {
  backend.listen(0, "127.0.0.1");
  await once(backend, "listening");
  const seen = {};
  seen.callback = await act("callback", { url: `http://127.0.0.1:${backend.address().port}/`, then: "check" });

  const text = await api.createTmpQRCode("门店-7", 1800);
  const number = await api.createLimitQRCode(99);
  seen.expire = text.expire_seconds;
  const picture = await fetch(api.showQRCodeURL(text.ticket));
  seen.picture = [picture.status, picture.headers.get("content-type"), (await picture.arrayBuffer()).byteLength];

  const first = await act("scan", { ticket: text.ticket });
  const openid = first.push.event.FromUserName;
  const second = await act("scan", { scene: "99", openid });
  seen.user_sees = [first.user_sees, second.user_sees];
  seen.user = await api.getUser(openid);

  await act("revoke");
  seen.after = (await api.createTmpQRCode(4294967295, 60)).url; // with a token that it renews by itself
  await api.sendText(openid, "多谢光临");
  seen.ticket = number.ticket;
  console.log(JSON.stringify(seen));
}

main().finally(() => backend.close()).catch((err) => {
  console.error(err);
  process.exitCode = 1;
});
