package live

import (
	"time"

	"github.com/wechatqr/wechatqr/channels"
)

// Pushes is how many pushes the numbers tell of: a follow by a code is a scan too.
func Pushes(c *channels.Counts) int64 {
	byCode := c.Scans - c.FollowerScans
	return c.Scans + c.Lost + max(c.New+c.Returning-byCode, 0)
}

// By chance there is no push for ten times the usual interval once in 20 000 times.
const (
	silentIntervals = 10
	minSilence      = 4 * time.Minute
	maxSilence      = 24 * time.Hour
)

// Silence is the time since the last push from which on something is wrong, where so many
// come in an hour.
func Silence(perHour float64) time.Duration {
	if perHour <= 0 {
		return maxSilence
	}
	limit := silentIntervals * float64(time.Hour) / perHour
	return time.Duration(min(max(limit, float64(minSilence)), float64(maxSilence)))
}
