package scanlogin

import "html/template"

var pageTemplate = template.New("")

// Page is what the template gets.
type Page struct{}
