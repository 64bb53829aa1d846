package wechatqrtest

import "slices"

// Tag is a tag by which the account groups its followers.
type Tag struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

const (
	maxTags       = 100 // of an account
	maxUserTags   = 20
	maxTagName    = 30 // bytes
	tagBatch      = 50 // openids a call
	firstOwnTagID = 100
)

// AddTag adds a tag, as the console does, and returns its ID.
func (s *Server) AddTag(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addTag(name)
}

func (s *Server) addTag(name string) int {
	id := firstOwnTagID
	for _, tag := range s.st.Tags {
		id = max(id, tag.ID+1)
	}
	s.st.Tags = append(s.st.Tags, Tag{id, name})
	s.notify()
	return id
}

// createTag is POST /cgi-bin/tags/create.
func (s *Server) createTag(c *apiRequest) (any, *apiError) {
	var in struct {
		Tag struct {
			Name string `json:"name"`
		} `json:"tag"`
	}
	if r := c.decode(&in); r != nil {
		return nil, r
	}
	name := in.Tag.Name
	switch {
	case name == "" || slices.ContainsFunc(s.st.Tags, func(t Tag) bool { return t.Name == name }):
		return nil, refuse(45157, "")
	case len(name) > maxTagName:
		return nil, refuse(45158, "")
	case len(s.st.Tags) >= maxTags:
		return nil, refuse(45056, "")
	}
	return map[string]Tag{"tag": {s.addTag(name), name}}, nil
}

// getTags is GET /cgi-bin/tags/get.
func (s *Server) getTags(*apiRequest) (any, *apiError) {
	type counted struct {
		Tag
		Count int `json:"count"`
	}
	list := []counted{}
	for _, tag := range s.st.Tags {
		n := 0
		for _, u := range s.st.Users {
			if slices.Contains(u.TagIDs, tag.ID) {
				n++
			}
		}
		list = append(list, counted{tag, n})
	}
	return map[string]any{"tags": list}, nil
}

// tagUsers is POST /cgi-bin/tags/members/batchtagging.
func (s *Server) tagUsers(c *apiRequest) (any, *apiError) {
	id, users, ref := s.tagRequest(c)
	if ref != nil {
		return nil, ref
	}
	for _, u := range users {
		if len(u.TagIDs) >= maxUserTags && !slices.Contains(u.TagIDs, id) {
			return nil, refuse(45059, "")
		}
	}
	for _, u := range users {
		if !slices.Contains(u.TagIDs, id) {
			u.TagIDs = append(slices.Clone(u.TagIDs), id)
		}
	}
	return errorResponse{0, "ok"}, nil
}

// untagUsers is POST /cgi-bin/tags/members/batchuntagging.
func (s *Server) untagUsers(c *apiRequest) (any, *apiError) {
	id, users, ref := s.tagRequest(c)
	if ref != nil {
		return nil, ref
	}
	for _, u := range users {
		u.TagIDs = slices.DeleteFunc(slices.Clone(u.TagIDs), func(has int) bool { return has == id })
	}
	return errorResponse{0, "ok"}, nil
}

// tagRequest reads who is to be tagged with what. Each must be a follower.
func (s *Server) tagRequest(c *apiRequest) (id int, users []*User, ref *apiError) {
	var in struct {
		OpenIDs []string `json:"openid_list"`
		TagID   int      `json:"tagid"`
	}
	if r := c.decode(&in); r != nil {
		return 0, nil, r
	}
	switch {
	case len(in.OpenIDs) == 0 || len(in.OpenIDs) > tagBatch:
		return 0, nil, refuse(40032, "")
	case !slices.ContainsFunc(s.st.Tags, func(t Tag) bool { return t.ID == in.TagID }):
		return 0, nil, refuse(45159, "")
	}
	for _, openID := range in.OpenIDs {
		u, ok := s.users[openID]
		if !ok || !u.Follows {
			return 0, nil, refuse(40003, "")
		}
		users = append(users, u)
	}
	return in.TagID, users, nil
}
