package web

import (
	"context"
	"embed"
	"errors"
	"net/http"
)

//go:embed problem.html
var problemFile embed.FS

var problemTemplates = ParseTemplates(problemFile, "*.html")

// Problem is a page that says why there is no other, and where to go on. Its texts are in
// the language of the request.
type Problem struct {
	Status         int
	Title, Text    string
	Link, LinkText string // empty: the first page
}

// Problem writes the page of a problem.
func (f Frame) Problem(w http.ResponseWriter, r *http.Request, p Problem) {
	if p.Link == "" {
		p.Link, p.LinkText = "/", Say(r, "返回首页", "To the first page")
	}
	f.Show(w, r, Page{Status: p.Status, Title: p.Title}, problemTemplates, "problem.html", p)
}

// NotFound says that there is no such page.
func (f Frame) NotFound(w http.ResponseWriter, r *http.Request) {
	f.Problem(w, r, Problem{
		Status: http.StatusNotFound, Title: Say(r, "没有这个页面", "There is no such page"),
		Text: Say(r, "地址写错了，或者它已不存在。", "The address is wrong, or what it showed is gone."),
	})
}

// LogFault logs why a request failed, by a method such as slog.Logger.Error, unless its browser
// has gone: that is no fault.
func LogFault(log func(string, ...any), r *http.Request, text string, err error) {
	if !errors.Is(r.Context().Err(), context.Canceled) {
		log(text, "err", err)
	}
}

// Unavailable says that the database does not answer, or takes nothing.
func (f Frame) Unavailable(w http.ResponseWriter, r *http.Request) {
	link, text := "/", Say(r, "返回首页", "To the first page")
	if r.Method == http.MethodGet {
		link, text = r.URL.RequestURI(), Say(r, "再试一次", "Try again")
	}
	f.Problem(w, r, Problem{
		Status: http.StatusServiceUnavailable,
		Title:  Say(r, "暂时打不开", "Not available for the moment"),
		Text: Say(r, "数据库没有响应，或磁盘已满：原因见日志。微信可能重发推送，但很快放弃；"+
			"漏掉的关注与取关由对账补上。请稍后再试。",
			"The database does not answer, or its disk is full: the log says why. WeChat may deliver a "+
				"push again, and soon gives it up; the follows and losses that are lost so a "+
				"reconciliation finds. Try again in a while."),
		Link: link, LinkText: text,
	})
}
