// Package engine makes an executor of an Engine: a kind of database whose backup is one or more streams.
//
//	Prepare → hook pre → each part: Stream → zstd → age → storage → Close → prove → manifest → hook post
//
// An attempt that fails anywhere before the manifest leaves nothing in the storage. The proof reads the
// stored objects back and begins when the source is closed, so that it holds nobody up. Work ends with
// the process; what a killed process left is found by name: Recover tells of a copy with its
// manifest, and removes anything less.
//
// A copy is proven to the level of the job:
//
//   - STORED: every stage ended well and the tool's own end mark was seen.
//   - CHECKED (default): the objects are read back, compared, decrypted, decompressed, and the engine finds
//     them whole.
//   - RESTORED: the engine loads them into a scratch database and compares.
//
// An instance may name further storages (copyTo). They get the objects of the proven copy, compared with their
// checksums on the way and read back, and the manifest last. One that cannot be made, or hangs, is said to be
// FAILED in the record and the backup stands: the instance's own storage has the copy that SUCCESSFUL speaks of.
// It stands too when the process stops, or the deadline passes meanwhile; only a cancel by somebody takes it away,
// and a fault of the proven copy itself. A failed one is not made later.
//
// A verification compares all copies, a restore takes the first that is whole. A deletion removes what the record
// names (copiedTo, leftIn), which has to answer, and looks for the attempts of the backup in every other storage of
// the executor's settings: a storage that was away, or was taken out of the instance, may hold one.
//
// A copy that is encrypted to a key that this executor does not have cannot be read back: such an
// instance asks for STORED, and anything else is refused before the backup begins.
package engine
