//go:build !linux

package executortest

import "os"

// MemoryDir makes a folder with a short path. Who calls removes it.
func MemoryDir(pattern string) (string, error) { return os.MkdirTemp("", pattern) }
