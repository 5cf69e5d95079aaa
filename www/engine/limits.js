/** Bytes of a piece: the unit that is downloaded, journalled and handed to the engine. */
export const PIECE_BYTES = 2 * 1024 * 1024;
