module github.com/wechatqr/wechatqr/cmd/channeld

go 1.25.0

replace (
	github.com/wechatqr/wechatqr => ../..
	github.com/wechatqr/wechatqr/channels => ../../channels
)
