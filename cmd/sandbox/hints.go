package main

// hint is the configuration by which an SDK uses the sandbox.
type hint struct{ SDK, Code string }

func hintsFor(origin string) []hint {
	return []hint{
		{"Go · wechatqr", `wechatqr.WithBaseURL("` + origin + `")`},
		{"Go · silenceper/wechat v2", `hosts := strings.NewReplacer(
	"https://api.weixin.qq.com", "` + origin + `",
	"https://mp.weixin.qq.com", "` + origin + `")
util.SetURIModifier(hosts.Replace)`},
		{"Java · WxJava (Spring Boot)", "wx.mp.hosts.api-host=" + origin + "\nwx.mp.hosts.mp-host=" + origin},
		{"PHP · EasyWeChat 6", `'http' => ['base_uri' => '` + origin + `/'],`},
		{"Python · wechatpy", `class Client(WeChatClient):
    API_BASE_URL = "` + origin + `/cgi-bin/"

    def fetch_access_token(self):
        return self._fetch_access_token(
            url=self.API_BASE_URL + "token",
            params={"grant_type": "client_credential",
                    "appid": self.appid, "secret": self.secret})`},
		{"Node.js · co-wechat-api", `api.prefix = api.mpPrefix = '` + origin + `/cgi-bin/';`},
	}
}
