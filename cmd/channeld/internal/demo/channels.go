package demo

import (
	"time"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
)

// place is a channel with how people behave there.
type place struct {
	channels.Channel
	hours *hours

	perDay float64 // follows on an ordinary day
	growth float64 // per month: 0.2 is a fifth more
	quick  float64 // share of the follows that end within a day
	stay   float64 // days until half of the others have left
}

// hours are the weights of the hours of a day, from midnight.
type hours [24]float64

var (
	shopHours = &hours{
		9: 1, 10: 3, 11: 4, 12: 6, 13: 5, 14: 5, 15: 5, 16: 5, 17: 6, 18: 8, 19: 9, 20: 8, 21: 4,
	}
	commuteHours = &hours{6: 2, 7: 8, 8: 10, 9: 4, 12: 3, 17: 5, 18: 9, 19: 6, 20: 3, 21: 2, 22: 2}
	onlineHours  = &hours{
		0: 3, 1: 1, 7: 2, 8: 3, 9: 3, 10: 3, 11: 4, 12: 7, 13: 5, 14: 3, 15: 3, 16: 3, 17: 4,
		18: 5, 19: 6, 20: 8, 21: 10, 22: 9, 23: 6,
	}
	streamHours = &hours{19: 2, 20: 10, 21: 12, 22: 8, 23: 2}
	eventHours  = &hours{9: 4, 10: 8, 11: 8, 12: 4, 13: 5, 14: 7, 15: 6, 16: 4, 17: 1}
	burstHours  = &hours{3: 9, 4: 1}
)

var places = []place{
	shop("sh-01", "上海人民广场店", "华东/门店", 16),
	shop("sh-07", "上海静安寺店", "华东/门店", 12),
	shop("sh-12", "上海五角场店", "华东/门店", 9),
	shop("hz-01", "杭州湖滨店", "华东/门店", 11),
	shop("sz-01", "苏州观前街店", "华东/门店", 7),
	shop("nj-01", "南京新街口店", "华东/门店", 8),
	shop("nb-01", "宁波天一店", "华东/门店", 4),
	shop("gz-01", "广州天河店", "华南/门店", 10),
	shop("gz-03", "广州北京路店", "华南/门店", 6),
	shop("szx-01", "深圳万象城店", "华南/门店", 13),
	shop("xm-01", "厦门中山路店", "华南/门店", 5),
	shop("bj-01", "北京三里屯店", "华北/门店", 14),
	shop("bj-02", "北京西单店", "华北/门店", 9),
	shop("tj-01", "天津滨江道店", "华北/门店", 5),
	shop("qd-01", "青岛五四广场店", "华北/门店", 4),
	shop("cd-01", "成都太古里店", "西南/门店", 12),
	shop("cq-01", "重庆解放碑店", "西南/门店", 8),
	shop("km-01", "昆明南屏街店", "西南/门店", 3),

	poster("metro-2", "上海地铁2号线灯箱", "线下广告/地铁", 9),
	poster("metro-10", "上海地铁10号线灯箱", "线下广告/地铁", 5),
	poster("metro-bj1", "北京地铁1号线灯箱", "线下广告/地铁", 7),
	poster("lift-sh", "上海写字楼电梯海报", "线下广告/电梯", 6),
	poster("lift-sz", "深圳写字楼电梯海报", "线下广告/电梯", 4),
	poster("bus-cd", "成都公交站牌", "线下广告/公交", 2),

	online("article", "公众号文章文末", "线上/内容", 15, 0.08, 90),
	online("xhs-01", "小红书种草笔记", "线上/内容", 12, 0.15, 40),
	online("zhihu", "知乎专栏", "线上/内容", 3, 0.06, 120),
	online("site", "官网首页", "线上/自有", 6, 0.05, 150),
	online("app", "小程序我的页", "线上/自有", 10, 0.04, 200),
	stream("live-mon", "抖音直播间·主场", "线上/直播", 18),
	stream("live-2", "视频号直播间", "线上/直播", 11),

	staff("staff-lin", "导购 林悦", "员工/华东", 3),
	staff("staff-zhou", "导购 周子航", "员工/华东", 2),
	staff("staff-chen", "导购 陈思远", "员工/华南", 3),
	staff("staff-ma", "导购 马晓燕", "员工/华北", 2),

	newPlace("box", "快递箱内卡片", "包装", onlineHours, 14, 0.1, 0.06, 110),
	newPlace("bottle", "瓶身码", "包装", onlineHours, 5, 0.3, 0.05, 130),
	newPlace("expo-26", "秋季展会展台", "活动/展会", eventHours, 8, -0.5, 0.3, 25),
	newPlace("campus", "校园迎新摊位", "活动/校园", eventHours, 6, -0.4, 0.25, 35),
	newPlace("agency-b", "外采投放 B", "活动/投放", burstHours, 13, 0, 0.6, 12),
}

func newPlace(
	key, name, group string, open *hours, perDay, growth, quick, stay float64,
) place {
	return place{
		channels.Channel{Key: key, Name: name, Group: group}, open, perDay, growth, quick, stay,
	}
}

func shop(key, name, group string, perDay float64) place {
	return newPlace(key, name, group, shopHours, perDay, 0.05, 0.09, 80)
}

func poster(key, name, group string, perDay float64) place {
	return newPlace(key, name, group, commuteHours, perDay, -0.1, 0.18, 45)
}

func online(key, name, group string, perDay, quick, stay float64) place {
	return newPlace(key, name, group, onlineHours, perDay, 0.15, quick, stay)
}

func stream(key, name, group string, perDay float64) place {
	return newPlace(key, name, group, streamHours, perDay, 0.25, 0.22, 30)
}

func staff(key, name, group string, perDay float64) place {
	return newPlace(key, name, group, shopHours, perDay, 0, 0.03, 240)
}

// Welcomes are welcome texts by the key of the channel.
func Welcomes() map[string]string {
	return map[string]string{
		"sh-07":    "欢迎来到静安寺店！回复“菜单”看今日新品。",
		"article":  "谢谢关注，回复“合集”看往期文章。",
		"live-mon": "直播间的朋友你好，优惠券已放进“我的”。",
		"expo-26":  "谢谢光临展台，资料请回复“展会”。",
	}
}

// Notes are notes at days before one, with what was spent.
func Notes(now time.Time) (all []store.Note) {
	for _, n := range []struct {
		key, text string
		daysAgo   int
		spent     int64
	}{
		{"metro-2", "灯箱刊例费 9–11 月", 58, 28_600_00},
		{"metro-2", "改了海报：码放大到 20 cm", 17, 1_200_00},
		{"metro-10", "灯箱刊例费 9–11 月", 58, 19_800_00},
		{"metro-bj1", "灯箱刊例费 9–11 月", 57, 24_500_00},
		{"lift-sh", "电梯框架 8 周", 56, 12_000_00},
		{"lift-sz", "电梯框架 8 周", 56, 9_600_00},
		{"bus-cd", "站牌 1 个月", 40, 6_800_00},
		{"xhs-01", "达人笔记 3 篇", 33, 5_400_00},
		{"xhs-01", "笔记上热门", 12, 0},
		{"live-mon", "直播间投流", 24, 8_000_00},
		{"live-mon", "直播间投流，双十一", 15, 15_000_00},
		{"live-2", "直播间投流", 15, 6_000_00},
		{"expo-26", "展台与搭建", 45, 32_000_00},
		{"campus", "摊位与礼品", 50, 3_200_00},
		{"agency-b", "投放 B 预付", 30, 10_000_00},
		{"agency-b", "对账：凌晨集中关注，已询问对方", 9, 0},
		{"box", "卡片印刷 2 万张", 52, 2_400_00},
		{"sh-07", "换新收银台立牌", 20, 380_00},
		{"sh-07", "店庆，全场 8 折", 6, 0},
	} {
		day := now.In(Location).AddDate(0, 0, -n.daysAgo).Format("2006-01-02")
		all = append(all, store.Note{Channel: n.key, Day: day, Text: n.text, Spent: n.spent})
	}
	return all
}
