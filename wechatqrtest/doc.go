// Package wechatqrtest is a WeChat to test and develop against: the API and
// the picture host that package wechatqr calls, over HTTP, and the sender of
// pushes that package events receives.
package wechatqrtest
