package wechatqrtest

import "slices"

// checkCallback is POST /cgi-bin/callback/check. It resolves and pings nothing: the
// address is this machine's.
func (s *Server) checkCallback(c *apiRequest) (any, *apiError) {
	var in struct {
		Action   string `json:"action"`
		Operator string `json:"check_operator"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	switch {
	case s.st.Callback.URL == "":
		return nil, refuse(40201, "")
	case !slices.Contains([]string{"dns", "ping", "all"}, in.Action):
		return nil, refuse(40202, "")
	case !slices.Contains([]string{"CHINANET", "UNICOM", "CAP", "DEFAULT"}, in.Operator):
		return nil, refuse(40203, "")
	}

	type dns struct {
		IP       string `json:"ip"`
		Operator string `json:"real_operator"`
	}
	type ping struct {
		IP   string `json:"ip"`
		From string `json:"from_operator"`
		Lost string `json:"package_loss"`
		Time string `json:"time"`
	}
	out := map[string]any{}
	if in.Action != "ping" {
		out["dns"] = []dns{{"127.0.0.1", "CAP"}}
	}
	if in.Action != "dns" {
		out["ping"] = []ping{{"127.0.0.1", "CAP", "0%", "0.079ms"}}
	}
	return out, nil
}
