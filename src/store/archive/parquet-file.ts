import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { type FileFormat, SCHEMA_KEY, type StoredRow, toCell, toFileSchema } from "./columns.ts";

/** R2 wants all parts of an upload but the last to have one size, of 5 MiB at least. */
const UPLOAD_PART = 5 * 1024 * 1024;
/** The first bytes of a file that hold its metadata, from its end: one read is enough for most files. */
const FOOTER = 256 * 1024;

export type WrittenFile = { bytes: number; sha256: string };

/** Writes the rows of a new file to R2, a group at a time, in as much memory as two parts of an upload and a group take. */
export class ParquetFile {
  readonly #format: FileFormat;
  readonly #sink: R2Sink;
  readonly #writer: ParquetWriter;

  constructor(bucket: R2Bucket, key: string, format: FileFormat) {
    const kvMetadata = [{ key: SCHEMA_KEY, value: format.schema }];
    this.#format = format;
    this.#sink = new R2Sink(bucket, key);
    this.#writer = new ParquetWriter({ writer: this.#sink, schema: toFileSchema(format), kvMetadata });
  }

  async write(rows: readonly StoredRow[]): Promise<void> {
    const columnData = this.#format.columns.map(({ name, kind }) => ({
      name,
      data: rows.map((row) => toCell(kind, row[name] ?? null)),
    }));
    await this.#writer.write({ columnData, rowGroupSize: rows.length });
    await this.#sink.upload();
  }

  /** Throws if there is such a file already. */
  async finish(): Promise<WrittenFile> {
    await this.#writer.finish();
    return await this.#sink.close();
  }

  /** Gives up the file, which then does not exist. */
  async abort(): Promise<void> {
    await this.#sink.abort();
  }
}

/** Bytes on their way to R2: a small file is one object put, a larger one an upload in parts. */
class R2Sink extends ByteWriter {
  readonly #bucket: R2Bucket;
  readonly #key: string;
  readonly #digest = new crypto.DigestStream("SHA-256");
  readonly #digestWriter = this.#digest.getWriter();
  readonly #parts: R2UploadedPart[] = [];
  #upload: R2MultipartUpload | undefined;

  constructor(bucket: R2Bucket, key: string) {
    super(2 * UPLOAD_PART);
    this.#bucket = bucket;
    this.#key = key;
  }

  /** Uploads the parts that are full. */
  async upload(): Promise<void> {
    while (this.index >= UPLOAD_PART) await this.#send(UPLOAD_PART);
  }

  async close(): Promise<WrittenFile> {
    if (this.#upload === undefined) {
      const bytes = await this.#take(this.index);
      const stored = await this.#bucket.put(this.#key, bytes, { onlyIf: { etagDoesNotMatch: "*" } });
      if (stored === null) throw new Error(`${this.#key}: there is such a file already`);
    } else {
      await this.upload();
      if (this.index > 0) await this.#send(this.index);
      await this.#upload.complete(this.#parts);
    }
    await this.#digestWriter.close();
    return { bytes: this.offset, sha256: toHex(await this.#digest.digest) };
  }

  async abort(): Promise<void> {
    this.#digest.digest.catch(() => {});
    await this.#digestWriter.abort().catch(() => {});
    await this.#upload?.abort();
  }

  async #send(length: number): Promise<void> {
    const part = await this.#take(length);
    this.#upload ??= await this.#bucket.createMultipartUpload(this.#key);
    this.#parts.push(await this.#upload.uploadPart(this.#parts.length + 1, part));
  }

  /** Removes bytes from the front of the buffer. */
  async #take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const all = new Uint8Array(this.buffer);
    const taken = all.slice(0, length);
    all.copyWithin(0, length, this.index);
    this.index -= length;
    await this.#digestWriter.write(taken);
    return taken;
  }
}

const toHex = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A file of R2, of which only the ranges that are needed are read. Undefined if there is none. */
export async function openFile(bucket: R2Bucket, key: string): Promise<OpenFile | undefined> {
  const head = await bucket.head(key);
  if (head === null) return undefined;
  const file: AsyncBuffer = {
    byteLength: head.size,
    slice: async (start, end = head.size) => {
      const found = await bucket.get(key, { range: { offset: start, length: end - start } });
      if (found === null) throw new Error(`${key}: the file is gone`);
      return await found.arrayBuffer();
    },
  };
  return { file, metadata: await parquetMetadataAsync(file, { initialFetchSize: FOOTER }) };
}

export type OpenFile = { file: AsyncBuffer; metadata: FileMetaData };

/** What is read of a file. `ids`: from the first to the last, both included; groups of rows without any are not read. */
export type ReadOptions = { columns?: string[]; ids?: { from?: string; to?: string } };

/** The rows of a file in its order, which is that of their ids, a group at a time. */
export async function* readGroups(
  { file, metadata }: OpenFile,
  { columns, ids = {} }: ReadOptions = {},
): AsyncGenerator<Record<string, unknown>[]> {
  const filter = {
    ...(ids.from !== undefined && { $gte: ids.from }),
    ...(ids.to !== undefined && { $lte: ids.to }),
  };
  const isFiltered = Object.keys(filter).length > 0;
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const rows = await parquetReadObjects({
      file,
      metadata,
      rowStart,
      rowEnd,
      ...(columns && { columns }),
      ...(isFiltered && { filter: { id: filter } }),
    });
    if (rows.length > 0) yield rows;
    rowStart = rowEnd;
  }
}
