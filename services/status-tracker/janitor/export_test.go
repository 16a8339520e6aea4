package janitor

// Holding makes a janitor hold n aggregates at once.
func (j *Janitor) Holding(n int) *Janitor {
	j.most = n
	return j
}
