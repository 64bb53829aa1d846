package web

import (
	"slices"
	"strings"

	"github.com/wechatqr/wechatqr/channels"
)

// Groups are the groups of the channels and those above them, in order.
func Groups(all []channels.Channel) (groups []string) {
	seen := map[string]bool{"": true}
	for i := range all {
		path := all[i].Group
		for ; !seen[path]; path = path[:max(strings.LastIndex(path, "/"), 0)] {
			seen[path] = true
			groups = append(groups, path)
		}
	}
	slices.Sort(groups)
	return groups
}
