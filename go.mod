module github.com/wechatqr/wechatqr

go 1.25.0

require (
	github.com/boombuler/barcode v1.1.0
	github.com/jarcoal/httpmock v1.4.2
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5
)
