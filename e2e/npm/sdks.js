"use strict";
// SDKs that are not ours, unchanged: they call WeChat by its own names, and a proxy
// leads them to the sandbox. It is run as
//   node sdks.js SDK APPID SECRET
// and prints what it saw as JSON.
const https = require("node:https");
const { once } = require("node:events");

const stale = "97_" + "x".repeat(133); // of the form of a token
const [name, appid, secret] = process.argv.slice(2);

const sdks = {
  async "co-wechat-api"() {
    const API = require("co-wechat-api");
    const api = new API(appid, secret);
    const { ticket } = await api.createTmpQRCode("门店-7", 1800);
    await api.saveToken({ accessToken: stale, expireTime: Date.now() + 7200e3 });
    const again = await api.createLimitQRCode(99); // after a 40001, with a token that it fetches again
    const [picture] = await once(https.get(api.showQRCodeURL(ticket)), "response");
    return { ticket, type: picture.headers["content-type"], again: again.ticket };
  },

  async "node-easywechat"() {
    const { OfficialAccount } = require("node-easywechat");
    const app = new OfficialAccount({ app_id: appid, secret });
    const client = app.getClient();
    const create = async (scene_str) => (await client.postJson("/cgi-bin/qrcode/create", {
      expire_seconds: 1800, action_name: "QR_STR_SCENE", action_info: { scene: { scene_str } },
    })).toObject();
    const { ticket } = await create("门店-7");
    const picture = await client.get("https://mp.weixin.qq.com/cgi-bin/showqrcode", { params: { ticket } });
    app.getAccessToken().getToken = async () => stale;
    const refused = await create("门店-8");
    return { ticket, type: picture.getHeader("content-type"), refused: refused.errcode };
  },

  async "wechat-jssdk"() {
    const { Wechat } = require("wechat-jssdk");
    const wx = new Wechat({ appId: appid, appSecret: secret, wechatRedirectUrl: "http://127.0.0.1/", storeOptions: { interval: 60000 } });
    const token = await wx.jssdk.getAccessToken();
    return { token: token.access_token };
  },
};

sdks[name]().then((seen) => {
  console.log(JSON.stringify(seen));
  process.exit(0); // wechat-jssdk has timers
}, (err) => {
  console.error(err);
  process.exit(1);
});
