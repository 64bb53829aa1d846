# A script that calls WeChat by its own names. It is run as
#   sh client.sh APPID SECRET
set -eu
api=https://api.weixin.qq.com/cgi-bin
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
create() {
	curl -sS --max-time 20 -d '{"expire_seconds":1800,"action_name":"QR_STR_SCENE","action_info":{"scene":{"scene_str":"shop-7"}}}' \
		"$api/qrcode/create?access_token=$1"
}
token=$(curl -sS --max-time 20 "$api/token?grant_type=client_credential&appid=$1&secret=$2" | field access_token)
ticket=$(create "$token" | field ticket)
type=$(curl -sS --max-time 20 -o /dev/null -w '%{content_type}' -G --data-urlencode "ticket=$ticket" https://mp.weixin.qq.com/cgi-bin/showqrcode)
outside=reached
curl -s --max-time 20 -o /dev/null https://example.com/ || outside=refused
echo "{\"ticket\":\"$ticket\",\"type\":\"$type\",\"refused\":$(create "97_$(printf %0133d 0)" | field errcode),\"outside\":\"$outside\"}"
