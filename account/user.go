package account

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/wechatqr/wechatqr"
)

// UserInfo is what WeChat tells of a user.
type UserInfo struct {
	OpenID  string
	Follows bool // if not, there is nothing beyond OpenID and perhaps UnionID

	FollowedAt time.Time // of the latest follow
	UnionID    string    // the same in all accounts of one open platform (开放平台); empty without one
	Scene      string    // Scene.Key of the code by which they followed last; empty without a code
	Source     string    // ADD_SCENE_QR_CODE, ADD_SCENE_SEARCH, …: a hint, seen to contradict Scene
	Remark     string    // given by the account
	TagIDs     []int

	Raw json.RawMessage
}

// userJSON is a UserInfo in WeChat's form. UserInfo itself has no UnmarshalJSON, so
// that a program may keep it as JSON and read it back.
type userJSON UserInfo

func (u *userJSON) UnmarshalJSON(b []byte) error {
	var in struct {
		Subscribe      int         `json:"subscribe"`
		OpenID         string      `json:"openid"`
		UnionID        string      `json:"unionid"`
		SubscribeTime  int64       `json:"subscribe_time"`
		SubscribeScene string      `json:"subscribe_scene"`
		QRScene        json.Number `json:"qr_scene"`
		QRSceneStr     string      `json:"qr_scene_str"`
		Remark         string      `json:"remark"`
		TagIDs         []int       `json:"tagid_list"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	if in.OpenID == "" {
		return errors.New("a user without openid")
	}

	*u = userJSON{
		OpenID: in.OpenID, Follows: in.Subscribe == 1, UnionID: in.UnionID,
		Scene: in.QRSceneStr, Source: in.SubscribeScene, Remark: in.Remark, TagIDs: in.TagIDs,
		Raw: append(json.RawMessage(nil), b...),
	}
	if id, _ := in.QRScene.Int64(); u.Scene == "" && id > 0 {
		u.Scene = strconv.FormatInt(id, 10)
	}
	if in.SubscribeTime != 0 {
		u.FollowedAt = time.Unix(in.SubscribeTime, 0)
	}
	return nil
}

// User asks for one user. An openid that was never this account's is
// [wechatqr.ErrInvalidArgument] (40003).
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_userinfo
func User(ctx context.Context, c *wechatqr.Client, openID string) (UserInfo, error) {
	var user userJSON
	err := get(ctx, c, "/cgi-bin/user/info", url.Values{"openid": {openID}}, &user)
	return UserInfo(user), err
}

const usersBatch = 100 // of user/info/batchget

// Users asks for many users, 100 a call, in the order of openIDs: a sequence from
// [Followers] or from [OpenIDs]. An openid that was never this account's gives an
// error beside a UserInfo with that OpenID, and the next ones follow; any other
// error is the last element.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_batchuserinfo
func Users(
	ctx context.Context, c *wechatqr.Client, openIDs iter.Seq2[string, error],
) iter.Seq2[UserInfo, error] {
	return func(yield func(UserInfo, error) bool) {
		for batch, err := range batches(openIDs, usersBatch) {
			if err != nil {
				yield(UserInfo{}, err)
				return
			}
			if !yieldUsers(ctx, c, batch, yield) {
				return
			}
		}
	}
}

// yieldUsers asks for a batch. One unknown openid makes WeChat refuse all of it:
// then each half is asked for by itself.
func yieldUsers(
	ctx context.Context, c *wechatqr.Client, openIDs []string, yield func(UserInfo, error) bool,
) bool {
	type entry struct {
		OpenID string `json:"openid"`
	}
	var body struct {
		UserList []entry `json:"user_list"`
	}
	for _, id := range openIDs {
		body.UserList = append(body.UserList, entry{id})
	}
	var response struct {
		Users []userJSON `json:"user_info_list"`
	}
	err := post(ctx, c, "/cgi-bin/user/info/batchget", body,
		&having{"user_info_list", &response})

	switch half := len(openIDs) / 2; {
	case unknownOpenID(err) && half > 0:
		return yieldUsers(ctx, c, openIDs[:half], yield) && yieldUsers(ctx, c, openIDs[half:], yield)
	case unknownOpenID(err):
		return yield(UserInfo{OpenID: openIDs[0]}, err)
	case err != nil:
		yield(UserInfo{}, err)
		return false
	}
	for _, user := range response.Users {
		if !yield(UserInfo(user), nil) {
			return false
		}
	}
	return true
}

func unknownOpenID(err error) bool {
	var e *wechatqr.Error
	return errors.As(err, &e) && e.Code == 40003
}

// Followers lists the openids of the account's followers, 10 000 a call of which
// an account has 500 a day, in WeChat's order, which is that of their follows.
// after, unless empty, is the last openid of an earlier run: the list goes on
// behind it. An error is the last element.
//
// Who follows or leaves meanwhile may be missing or listed.
//
// WeChat's page: https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_getfans
func Followers(ctx context.Context, c *wechatqr.Client, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for {
			var page struct {
				Data struct {
					OpenIDs []string `json:"openid"`
				} `json:"data"`
				Next string `json:"next_openid"`
			}
			query := url.Values{}
			if after != "" {
				query.Set("next_openid", after)
			}
			err := get(ctx, c, "/cgi-bin/user/get", query, &having{"next_openid", &page})
			if err != nil {
				yield("", err)
				return
			}
			for _, id := range page.Data.OpenIDs {
				if !yield(id, nil) {
					return
				}
			}

			// The last page that has openids names the last of them, and the page after it is empty.
			if len(page.Data.OpenIDs) == 0 || page.Next == "" || page.Next == after {
				return
			}
			after = page.Next
		}
	}
}

// OpenIDs is a list for [Users], [Tag] and [Untag].
func OpenIDs(ids ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, id := range ids {
			if !yield(id, nil) {
				return
			}
		}
	}
}

// batches cuts the openids into slices of at most size. An error comes after what
// was before it, and is the last element.
func batches(openIDs iter.Seq2[string, error], size int) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		var batch []string
		for id, err := range openIDs {
			if err != nil {
				if len(batch) == 0 || yield(batch, nil) {
					yield(nil, err)
				}
				return
			}
			batch = append(batch, id)
			if len(batch) == size {
				if !yield(batch, nil) {
					return
				}
				batch = nil
			}
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}
