package account

import (
	"context"
	"iter"
	"net/url"

	"github.com/wechatqr/wechatqr"
)

// TagInfo is a tag (标签) by which an account groups its followers. An account has
// up to 100, a follower up to 20.
type TagInfo struct {
	ID        int    `json:"id"`
	Name      string `json:"name"`
	Followers int    `json:"count"`
}

// Tags lists the account's tags.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/usermanage/tagmanage/api_gettags
func Tags(ctx context.Context, c *wechatqr.Client) ([]TagInfo, error) {
	var out struct {
		Tags []TagInfo `json:"tags"`
	}
	err := get(ctx, c, "/cgi-bin/tags/get", url.Values{}, &out)
	return out.Tags, err
}

const tagBatch = 50 // of members/batchtagging

// Tag gives followers a tag, by its ID, 50 a call. openIDs is a sequence from
// [Followers] or from [OpenIDs]. An error ends it, and those before
// have the tag; it may be called again with all of them. One openid that does not
// follow makes WeChat refuse the 50 that it is among (40003).
//
// WeChat refuses with errcode 45159 a tag that does not exist, and was seen to
// do so now and then for one that does.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/usermanage/tagmanage/api_batchtagging
func Tag(
	ctx context.Context, c *wechatqr.Client, tagID int, openIDs iter.Seq2[string, error],
) error {
	return tagMembers(ctx, c, "/cgi-bin/tags/members/batchtagging", tagID, openIDs)
}

// Untag takes a tag from followers, as [Tag] gives it.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/usermanage/tagmanage/api_batchuntagging
func Untag(
	ctx context.Context, c *wechatqr.Client, tagID int, openIDs iter.Seq2[string, error],
) error {
	return tagMembers(ctx, c, "/cgi-bin/tags/members/batchuntagging", tagID, openIDs)
}

func tagMembers(
	ctx context.Context, c *wechatqr.Client, path string, tagID int, openIDs iter.Seq2[string, error],
) error {
	for batch, err := range batches(openIDs, tagBatch) {
		if err != nil {
			return err
		}
		body := struct {
			OpenIDs []string `json:"openid_list"`
			TagID   int      `json:"tagid"`
		}{batch, tagID}
		if err := post(ctx, c, path, body, nil); err != nil {
			return err
		}
	}
	return nil
}
