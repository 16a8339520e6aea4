package delivery

// sleepers is a heap of lanes by the time at which to look again.
type sleepers []*lane

func (s sleepers) Len() int           { return len(s) }
func (s sleepers) Less(i, j int) bool { return s[i].wakeAt.Before(s[j].wakeAt) }
func (s sleepers) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

// Push implements heap.Interface.
func (s *sleepers) Push(x any) {
	l := x.(*lane)
	l.index = len(*s)
	*s = append(*s, l)
}

// Pop implements heap.Interface.
func (s *sleepers) Pop() any {
	old := *s
	l := old[len(old)-1]
	l.index = -1
	*s = old[:len(old)-1]
	return l
}
