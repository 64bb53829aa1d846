// Package wechatqr makes WeChat parametric QR codes (带参数二维码) and tells who
// scanned them.
package wechatqr
