# A program that calls WeChat by its own names, with the requests of Debian.
import json
import sys

import requests

appid, secret = sys.argv[1:]
API, PICTURES = "https://api.weixin.qq.com/cgi-bin", "https://mp.weixin.qq.com/cgi-bin"


def create(token):
    body = {"expire_seconds": 1800, "action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "shop-7"}}}
    return requests.post(f"{API}/qrcode/create", params={"access_token": token}, json=body, timeout=20).json()


token = requests.get(f"{API}/token", timeout=20, params={
    "grant_type": "client_credential", "appid": appid, "secret": secret}).json()["access_token"]
ticket = create(token)["ticket"]
picture = requests.get(f"{PICTURES}/showqrcode", params={"ticket": ticket}, timeout=20)
try:
    outside = requests.get("https://example.com/", timeout=20).status_code
except requests.exceptions.ProxyError:
    outside = "refused"
print(json.dumps({"ticket": ticket, "type": picture.headers["Content-Type"],
                  "refused": create("97_" + "x" * 133)["errcode"], "outside": outside}))
