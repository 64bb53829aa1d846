package page

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/internal/webui"
)

// A number has one name, on the pages and in the files.
func TestWordsAreThoseOfTheFiles(t *testing.T) {
	t.Parallel()
	terms := map[string][2]string{}
	for _, column := range channels.Columns() {
		terms[column.Name] = [2]string{column.TermZH, column.Term}
	}
	for _, d := range costColumns(nil) {
		terms[d.Name] = [2]string{d.TermZH, d.Term}
	}
	for key, column := range map[string]string{
		"scans": "scans", "scanners": "scanners", "follower_scans": "follower_scans", "new": "new",
		"returning": "returning", "lost": "lost", "net": "net", "held": "held_end",
		"quick": "quick_lost", "imported": "imported", "forgotten": "forgotten",
		"cost": "cost_per_held",
	} {
		word := wordOf(key)
		assert.Equal(t, terms[column], [2]string{word.zh, strings.ToLower(word.en)}, key)
	}
	for _, word := range words {
		for _, text := range []string{word.zh, word.en, word.zhDefinition, word.enDefinition} {
			assert.NotEmpty(t, text, word.Key)
		}
	}
}

// Each number that is shown leads to its definition, and each page says it in the language
// of its reader alone.
func TestPagesInBothLanguages(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.fill()
		target := regexp.MustCompile(`popovertarget="(def-[a-z_-]+)"`)
		names := strings.NewReplacer("华东", "", "华南", "", "门店", "", "上海二店", "",
			"广州", "", "没有人的店", "", "中文", "")
		han := regexp.MustCompile(`\p{Han}`)
		for _, address := range []string{
			"/", "/channels", "/channels?q=nothing", "/channels?page=x", "/channels/nobody",
			"/export",
			"/channels/sh-1", "/channels/sh-1?period=today", "/channels/sh-1/change?action=retire",
		} {
			body := d.get(admin, address, webui.Chinese).Body.String()
			assert.Contains(t, body, `<html lang="zh-CN">`)
			for _, match := range target.FindAllStringSubmatch(body, -1) {
				assert.Contains(t, body, `id="`+match[1]+`"`, address)
			}
			page := textOf(d.get(admin, address, "en"))
			page = names.Replace(page)
			assert.Empty(t, han.FindAllString(page, -1), address)
		}
	})
}

// The policy allows no script, style or handler within a page, and nothing of another host.
func TestPagesKeepToThePolicy(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.fill()
		forbidden := regexp.MustCompile(
			`(?i)\sstyle=|<style|\son[a-z]+=|<script(?: defer)?>|javascript:`)
		host := regexp.MustCompile(`(?:src|href|action)="(?:https?:)?//`)
		d.channel("noted", "写满备注", "")
		for i := range maxNotes {
			day := noon.AddDate(0, 0, -2*i).Format(dayForm)
			d.note("noted", day, strings.Repeat("字", maxNote), "999999999.99")
		}
		for _, address := range []string{
			"/", "/channels", "/channels/sh-1", "/channels/noted?period=90d", "/export",
		} {
			body := d.get(admin, address, "en").Body.String()
			assert.Empty(t, forbidden.FindAllString(body, -1), address)
			assert.Empty(t, host.FindAllString(body, -1), address)
			assert.NotContains(t, body, "<b>广州</b>")
			weight := len(body)
			for _, name := range slices.Sorted(maps.Keys(fileHashes)) {
				file, err := os.ReadFile("static/" + name)
				require.NoError(t, err)
				weight += len(file)
			}
			assert.Less(t, weight, 120<<10, "%s, with everything", address)
		}
	})
}
