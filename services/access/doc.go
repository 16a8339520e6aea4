// Package access says who may do what (design.md 5): the grants of the settings, and the tokens and pairs of keys that
// prove who asks. Each door reads the proof in its own dialect, asks here whose it is, and then for each permission by
// its own name. It grants nothing by itself: the zero Caller may do nothing.
//
// Without a grant every caller is Anybody, who may do everything: that is for the loopback only. With one, every door
// asks; what a grant does not name is refused.
package access
