package bus

// Resolve lets a test give a subscriber durables of its own.
func (s *Subscriber) Resolve(f func(topic string) (stream, durable string, err error)) { s.resolve = f }
